"""A run taken up again ends with the bytes of one that was never interrupted; what would not is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch

import launch
import records.folder
import runs.trainer
from configs.errors import UserError
from configs.experiment import Experiment
from records.folder import RunFolder
from records.reader import read_run
from records.rows import read_object, read_rows
from records.signals import Interrupted
from runs.trainer import RunRecord, resume, train
from tests.helpers import failing, log_lines, one_line_error, only_run
from tests.runs.resumed import contents, during_steps

MakeExperiment = Callable[..., Experiment]
MakeContents = Callable[[str], dict[str, bytes]]
ROOT = Path(launch.__file__).parent
DETECTOR = {"env.detector": "happy_at_least(threshold=2)", "log_all_samples": True}
KINDS: dict[str, dict[str, Any]] = {
    "routed": {"routing.enabled": True, "lr": 0.02} | DETECTOR,
    "lora": {"adapter.kind": "lora", "lr": 0.02} | DETECTOR,
    "full": {"lr": 1e-3, "grpo.num_iterations": 2} | DETECTOR,
}
LONG = {"max_steps": 6, "save_steps": 2, "eval_every": 2, "logging_steps": 3}


class Crash(Exception):
    pass


@pytest.fixture(scope="module")
def undisturbed(trained_once: Callable[..., RunRecord], tmp_path_factory: pytest.TempPathFactory) -> MakeContents:
    """`undisturbed(kind)`: what a run holds that nothing happened to; trained once."""

    @cache
    def run(kind: str) -> dict[str, bytes]:
        output = tmp_path_factory.mktemp("whole")
        return contents(trained_once(output, **LONG, **KINDS[kind]).folder)

    return run


def crash_in(name: str, call: int, run: Callable[[], object]) -> None:
    """Runs until that call of a trainer's function, which raises."""
    with pytest.MonkeyPatch.context() as patch:
        failing(patch, runs.trainer, name, Crash(), call)
        with pytest.raises(Crash):
            run()


@pytest.fixture(scope="module")
def crashed_once(trained_once: Callable[..., RunRecord], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """`crashed_once(kind)`: the folder of a run that crashed in step 5, its last checkpoint of step 4. To be copied."""

    @cache
    def run(kind: str) -> Path:
        output = tmp_path_factory.mktemp("crashed")
        crash_in("train_step", 5, lambda: trained_once(output, **LONG, **KINDS[kind]))
        return only_run(output)

    return run


@pytest.fixture
def crashed(crashed_once: Callable[[str], Path], few_stories: None, tmp_path: Path) -> Callable[[str], Path]:  # noqa: ARG001
    """`crashed(kind)`: such a run, to be written into."""

    def copy(kind: str) -> Path:
        folder = crashed_once(kind)
        return Path(shutil.copytree(folder, tmp_path / "cut" / folder.name))

    return copy


# The same end


@pytest.mark.parametrize("phase", ["loading", "rehearsing"])
def test_killed_while_it_is_loaded_it_is_read_and_starts_anew(
    tiny: MakeExperiment, undisturbed: MakeContents, tmp_path: Path, phase: str
):
    """Whoever kills it leaves nobody to take its folder away."""
    experiment = tiny(output_dir=tmp_path / "cut", **LONG, **KINDS["routed"])
    with pytest.MonkeyPatch.context() as killed:
        killed.setattr(records.folder.shutil, "rmtree", lambda *_, **__: None)
        failing(killed, runs.trainer, {"loading": "build_run", "rehearsing": "preflight"}[phase], Crash())
        with pytest.raises(Crash):
            train(experiment, quiet=True)
    folder = only_run(tmp_path / "cut")
    assert {path.name for path in folder.iterdir()} == {"config.yaml", "status.json", ".lock"}
    assert read_object(folder / "status.json") == {"state": "running", "step": 0, "phase": phase}
    read = read_run(folder, names=lambda _: ["reward"])
    assert (read.state, read.phase, read.step, read.kind, read.made_of) == ("running", phase, 0, "routed", {})
    with pytest.raises(UserError, match="exists there"):
        train(experiment, quiet=True)
    with pytest.raises(UserError, match="seed 42, not 7"):
        resume(folder, replace(experiment, seed=7), quiet=True)
    crash_in("build_run", 0, lambda: resume(folder, quiet=True))
    assert read_object(folder / "status.json")["phase"] == phase
    assert_same_end(folder, undisturbed("routed"), resume(folder, experiment, quiet=True))


def test_interrupted_while_it_is_loaded_again_it_is_as_it_was(crashed: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    folder = crashed("routed")
    before = contents(folder)
    failing(monkeypatch, runs.trainer, "resumed_run", KeyboardInterrupt())
    with pytest.raises(Interrupted, match="while it was loaded") as stop:
        resume(folder, quiet=True)
    assert stop.value.folder == folder
    assert contents(folder) == before
    RunFolder(folder).lock()  # nobody holds it


def resume_torn(folder: Path) -> RunRecord:
    """Resumed after the machine's end tore the last row."""
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "rew')
    return resume(folder, quiet=True)


def assert_same_end(folder: Path, whole: dict[str, bytes], record: RunRecord) -> None:
    assert contents(folder) == whole
    assert record.metrics == read_rows(folder, "metrics.jsonl")
    assert len(record.metrics) == 6


@pytest.mark.parametrize("kind", ["routed", "lora", "full"])
def test_after_a_crash_the_end_is_the_same(crashed: Callable[[str], Path], undisturbed: MakeContents, kind: str):
    folder = crashed(kind)
    assert read_object(folder / "status.json")["state"] == "failed"
    steps: list[int] = []
    with during_steps(lambda run: steps.append(run.step)):
        record = resume_torn(folder)
    assert steps == [4, 5]
    assert_same_end(folder, undisturbed(kind), record)


CRASHES = [
    # the function and its call since the last start; the steps taken since then
    ("train_step", 1, [0]),  # before the first checkpoint
    ("train_step", 3, [0, 1, 2]),
    ("save_checkpoint", 0, [2, 3]),  # the step's rows stand, its checkpoint does not
    ("report_evaluation", 0, [2, 3]),
    ("report_evaluation", 1, [2, 3, 4, 5]),  # the evaluation at the end
    ("summarize", 0, []),
]


def test_after_crash_upon_crash_the_end_is_the_same(tiny: MakeExperiment, undisturbed: MakeContents, tmp_path: Path):
    """What stands in between is the beginning of the whole."""
    whole = undisturbed("routed")
    go_on: Callable[[], RunRecord] = partial(train, tiny(output_dir=tmp_path / "cut", **LONG, **KINDS["routed"]), quiet=True)
    for name, call, expected_steps in CRASHES:
        steps: list[int] = []
        with during_steps(lambda run, steps=steps: steps.append(run.step)):
            crash_in(name, call, go_on)
        assert steps == expected_steps, (name, call)
        folder = only_run(tmp_path / "cut")
        assert read_object(folder / "status.json")["state"] == "failed"
        for file in ("metrics.jsonl", "samples.jsonl", "routing_eval.jsonl"):
            assert whole[file].startswith((folder / file).read_bytes()), (name, call, file)
        go_on = partial(resume_torn, folder)
    assert_same_end(folder, whole, go_on())


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_taken(
    crashed: Callable[[str], Path], undisturbed: MakeContents, capsys: pytest.CaptureFixture[str]
):
    folder = crashed("routed")
    weights = folder / "checkpoint-4" / "adapter.safetensors"
    weights.write_bytes(weights.read_bytes()[:-3])
    (folder / "checkpoint-5.tmp").mkdir()
    resume(folder)
    said = capsys.readouterr().err
    assert f"{folder}/checkpoint-4.damaged: set aside: " in said
    assert f"{folder}: resumed at step 2 of 6" in said
    after = {name: content for name, content in contents(folder).items() if "damaged" not in name}
    assert after == undisturbed("routed")


def test_a_finished_run_is_only_read(tiny: MakeExperiment, capsys: pytest.CaptureFixture[str]):
    record = train(tiny(), quiet=True)
    before = contents(record.folder)
    capsys.readouterr()
    again = resume(record.folder)
    assert capsys.readouterr().err == f"{record.folder}: is finished\n"
    assert (again.metrics, again.evaluation, again.summary) == (record.metrics, record.evaluation, record.summary)
    assert contents(record.folder) == before


def test_the_threads_are_those_it_began_with(crashed: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch):
    folder = crashed("routed")
    made_of = read_object(folder / "run.json")
    (folder / "run.json").write_text(json.dumps(made_of | {"threads": 3}))
    asked: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    with pytest.raises(UserError, match=f"threads was 3, is {made_of['threads']}"):
        resume(folder, quiet=True)
    assert asked == [3, made_of["threads"]]  # and afterwards as before


# What is refused


def test_other_settings_are_refused_and_listed(crashed: Callable[[str], Path], tiny: MakeExperiment, tmp_path: Path):
    folder = crashed("routed")
    before = contents(folder)
    asked = tiny(output_dir=tmp_path / "cut", **LONG, **KINDS["routed"])
    with pytest.raises(UserError) as error:
        resume(folder, replace(asked, beta=0.01, seed=7, log_all_samples=False))
    listed = "seed 42, not 7, beta 0.02, not 0.01, log_all_samples True, not False"
    assert str(error.value) == f"--resume {folder}: is a run with other settings: {listed}"
    assert contents(folder) == before
    shown = replace(asked, overwrite=True, wandb=replace(asked.wandb, project="another"), output_dir=tmp_path / "elsewhere")
    assert resume(folder, shown, quiet=True).folder == folder


@pytest.mark.parametrize("name", ["base_fingerprint", "train_prompts_fingerprint", "torch", "device"])
def test_what_it_was_made_of_must_be_there_still(crashed: Callable[[str], Path], name: str):
    folder = crashed("routed")
    (folder / "run.json").write_text(json.dumps(read_object(folder / "run.json") | {name: "another"}))
    before = contents(folder)
    with pytest.raises(UserError, match=f"made of other things than are found now: {name} was another, is "):
        resume(folder, quiet=True)
    assert contents(folder) == before


def test_from_the_command_line_mistakes_are_one_line(
    crashed: Callable[[str], Path], tiny_words: Callable[..., list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = crashed("routed")

    def refused(*words: str) -> str:
        return one_line_error(launch.main, capsys, *words)

    assert (
        refused("--resume", str(folder), "--lr", "1e-4")
        == f"--resume {folder}: is a run with other settings: lr 0.02, not 0.0001"
    )
    assert refused("--resume", str(tmp_path)).startswith(f"--resume {tmp_path}: is not a run's folder: it has no config")
    said = refused("--resume", str(folder), "--name", "other")
    assert said == f"--name other: has no effect: {folder} has its name already"
    assert refused("--resume", str(folder), "b") == f"--resume: {folder} b: takes one run folder or none"
    words = tiny_words(f"--output_dir={tmp_path / 'cut'}", "--routing.enabled", "--resume", "--lr=0.02", "--max_steps=6")
    said = refused(*words)
    assert said.startswith(f"--resume: there is no run {tmp_path / 'cut'}/happy_binary_routed_")
    assert f"; the nearest, {folder.name}, has save_steps 2, not 500, " in said or "logging_steps 3, not 10" in said
    assert not (tmp_path / "output").exists()


def test_threads_go_on_as_recorded_and_others_are_refused(crashed: Callable[[str], Path], tiny: MakeExperiment, tmp_path: Path):
    folder = crashed("routed")
    asked = tiny(output_dir=tmp_path / "cut", **LONG, **KINDS["routed"])
    with pytest.raises(UserError, match="--threads 2: the run was begun with 1; another number rounds differently"):
        resume(folder, replace(asked, threads=2), quiet=True)
    assert read_object(folder / "status.json")["state"] == "failed"
    assert resume(folder, replace(asked, threads=1), quiet=True).folder == folder


def test_files_shorter_than_a_checkpoint_tells_are_no_place_to_go_on_from(tmp_path: Path):
    folder = RunFolder(tmp_path)
    folder.append("metrics.jsonl", {"step": 0})
    folder.log("a\nb")
    lines = folder.sync()
    assert lines["metrics.jsonl"] == 1
    assert lines["train.log"] == 2
    folder.append("metrics.jsonl", {"step": 1})
    folder.append("samples.jsonl", {"step": 1})
    folder.cut_back(lines)
    assert read_rows(tmp_path, "metrics.jsonl") == [{"step": 0}]
    assert log_lines(tmp_path) == ["a", "b"]
    assert (tmp_path / "samples.jsonl").read_text() == ""
    with pytest.raises(ValueError, match=r"metrics.jsonl: 1 lines, where there were 2$"):
        folder.cut_back(lines | {"metrics.jsonl": 2})
    assert read_rows(tmp_path, "metrics.jsonl") == [{"step": 0}]
