"""A checkpoint where its dataset, its base model or the working directory are no longer what they were."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets.config
import pytest
from safetensors.torch import load_file, save_file

import evaluate
from runs.trainer import RunRecord
from tests.helpers import log_lines, only_run
from tests.test_evaluate import record, refusal, run_door

SETTINGS = {"model": "model", "dataset": "stories", "max_steps": 1, "env.num_prompts": 10, "env.num_eval_prompts": 6,
            "eval.num_prompts": 4, "eval.final_samples": 4, "adapter.kind": "lora"}  # fmt: skip


@pytest.fixture(scope="module")
def workplace(
    trained_once: Callable[..., RunRecord],
    model_folder: Path,
    first_stories: dict[str, list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A directory in which a run was trained that names its model and dataset by relative paths; not to be written into."""
    folder = tmp_path_factory.mktemp("workplace")
    shutil.copytree(model_folder, folder / "model")
    write_stories(folder / "stories", first_stories)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        trained_once(Path("my output"), **SETTINGS)
    return folder


@pytest.fixture
def elsewhere(workplace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of it in a copy of the directory, from another working directory than training had.

    run.json tells of the copy: the original is what it is after it was removed.
    """
    shutil.copytree(workplace, tmp_path / "place")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    run = only_run(tmp_path / "place" / "my output")
    made_of = json.loads((run / "run.json").read_text())
    assert made_of["paths"] == {name: str(workplace / folder) for name, folder in (("model", "model"), ("dataset", "stories"))}
    made_of["paths"] = {name: path.replace(str(workplace), str(tmp_path / "place")) for name, path in made_of["paths"].items()}
    (run / "run.json").write_text(json.dumps(made_of))
    return run / "checkpoint-1"


def write_stories(folder: Path, stories: dict[str, list[str]]) -> None:
    folder.mkdir(exist_ok=True)
    for split, texts in stories.items():
        (folder / f"{split}.jsonl").write_text(
            "".join(json.dumps({"story": text, "upper": text.upper()}) + "\n" for text in texts)
        )


def evaluated(checkpoint: Path, *words: Any) -> dict[str, Any]:
    run_door("--model_path", checkpoint, "--n_samples", 4, "--show", 0, *words)
    return record(checkpoint)


def test_the_next_command_is_one_for_the_shell(elsewhere: Path):
    """The folder's name has a space in it."""
    run = elsewhere.parent
    report, evaluate = map(shlex.split, log_lines(run)[-2:])
    assert report == ["next:", "uv", "run", "report.py", f"my output/{run.name}"]
    assert evaluate == ["next:", "uv", "run", "evaluate.py", "--model_path", f"my output/{run.name}"]


def test_relative_paths_lead_where_they_led_in_training(elsewhere: Path, capsys):
    modes = evaluated(elsewhere)["modes"]
    run_door("--model_path", elsewhere, "--prompt", "the cat was")
    run_door("export", "--model_path", elsewhere, "--out", "out")
    assert (
        modes["policy"]["reward"] == json.loads((elsewhere.parent / "evaluation.json").read_text())["modes"]["policy"]["reward"]
    )
    assert (Path("out") / "model.safetensors").exists() and "policy" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_exporting_and_prompting_need_no_dataset(elsewhere: Path, tmp_path: Path, capsys, damage: str):
    stories = tmp_path / "place" / "stories"
    shutil.rmtree(stories)
    if damage == "changed":
        write_stories(stories, {"train": ["Nothing ."], "test": ["Nothing ."]})
    run_door("export", "--model_path", elsewhere, "--out", "out")
    run_door("--model_path", elsewhere, "--prompt", "the cat was")
    assert "the cat was >> " in capsys.readouterr().out


def test_a_missing_dataset_is_said_with_the_way_round(elsewhere: Path, tmp_path: Path, capsys):
    shutil.rmtree(tmp_path / "place" / "stories")
    said = refusal(capsys, "--model_path", elsewhere)
    assert said.startswith(f"--model_path {elsewhere}: --dataset {tmp_path / 'place' / 'stories'}: no such folder")
    assert said.endswith("; --dataset NAME evaluates on the prompts of another, or of this one as it is now")


def test_other_evaluation_prompts_are_refused_and_other_training_prompts_are_not(
    elsewhere: Path, tmp_path: Path, capsys, first_stories
):
    """Training prompts in another order; then the evaluation prompts, too, which are recorded when they are asked for."""
    own = evaluated(elsewhere)
    assert own["prompts"]["of_the_run"] and own["prompts"]["eval_prompts"] == 6
    train = first_stories["train"][:14]  # of which the first ten were the prompts
    write_stories(tmp_path / "place" / "stories", {"train": train[:10][::-1] + train[10:], "test": first_stories["test"]})
    assert evaluated(elsewhere)["modes"] == own["modes"]
    write_stories(tmp_path / "place" / "stories", {"train": train, "test": first_stories["test"][::-1]})
    said = refusal(capsys, "--model_path", elsewhere)
    assert "eval_prompts_fingerprint was" in said and said.endswith("of another, or of this one as it is now")
    other = evaluated(elsewhere, "--dataset", tmp_path / "place" / "stories")
    fingerprints = {each["prompts"]["eval_prompts_fingerprint"] for each in (own, other)}
    assert len(fingerprints) == 2 and not other["prompts"]["of_the_run"]
    assert other["prompts"]["dataset"] == str(tmp_path / "place" / "stories")


def test_another_dataset_is_said_and_recorded(elsewhere: Path, few_stories: None, capsys):  # noqa: ARG001
    """Nursery's stories begin as the folder's do, and the tokenizer makes the same of capitals; others are others."""
    own, place = evaluated(elsewhere)["prompts"], elsewhere.parents[2]
    assert evaluated(elsewhere, "--dataset", "nursery")["prompts"] == own | {"dataset": "nursery"}
    assert evaluated(elsewhere, "--text_column", "upper")["prompts"] == own | {"text_column": "upper"}
    assert "not those of the run's own evaluations" not in capsys.readouterr().out
    write_stories(place / "stories", {"unseen": ["one day the big cat was very happy and so was the dog . the end"]})
    unseen = evaluated(elsewhere, "--eval_split", "unseen")["prompts"]
    assert (unseen["eval_split"], unseen["eval_prompts"], unseen["of_the_run"]) == ("unseen", 1, False)
    assert "1 prompts of stories, which are not those of the run's own evaluations" in capsys.readouterr().out
    write_stories(place / "others", {"train": ["a " * 9], "test": ["the big cat was very happy and so"]})
    said = refusal(capsys, "--model_path", elsewhere, "--dataset", place / "nothing")
    assert said.endswith("no such folder; accepted are nursery, a local folder, or a hub id")
    prompts = evaluated(elsewhere, "--dataset", place / "others", "--n_samples", 1)["prompts"]
    assert (prompts["dataset"], prompts["eval_prompts"], prompts["of_the_run"]) == (str(place / "others"), 1, False)
    assert f"1 prompts of {place / 'others'}, which are not those of the run's own evaluations" in capsys.readouterr().out


def test_a_base_that_has_moved_is_found_by_its_name_and_known_by_its_weights(elsewhere: Path, tmp_path: Path, capsys):
    before = evaluated(elsewhere)["modes"]
    (tmp_path / "place" / "model").rename(tmp_path / "moved")
    hint = "; --base_model PATH names a base that has moved"
    for words in (["--prompt", "the cat"], [], ["export", "--out", "out"]):
        door = (
            [*words[:1], "--model_path", elsewhere, *words[1:]]
            if words[:1] == ["export"]
            else ["--model_path", elsewhere, *words]
        )
        assert refusal(capsys, *door).endswith(hint)
        run_door(*door, "--base_model", tmp_path / "moved")
    assert record(elsewhere)["modes"] != before  # 64 samples, not 4
    assert evaluated(elsewhere, "--base_model", tmp_path / "moved")["modes"] == before
    weights = load_file(tmp_path / "moved" / "model.safetensors")
    weights["model.norm.weight"] += 1
    save_file(weights, tmp_path / "moved" / "model.safetensors")
    said = refusal(capsys, "--model_path", elsewhere, "--base_model", tmp_path / "moved")
    expected = f"--model_path {elsewhere}: --base_model {tmp_path / 'moved'}: has other weights than the run began with: "
    assert said.startswith(expected) and hint not in said
    said = refusal(capsys, "--model_path", elsewhere, "--base_model", tmp_path / "nowhere")
    assert said.startswith(f"--model_path {elsewhere}: --base_model {tmp_path / 'nowhere'}: no such folder")


def test_from_where_the_paths_lead_nowhere_they_count_from_the_working_directory(elsewhere: Path, tmp_path: Path, monkeypatch):
    """A directory that has moved as a whole: its paths are right from there."""
    (tmp_path / "place").rename(tmp_path / "renamed")
    monkeypatch.chdir(tmp_path / "renamed")
    evaluated(tmp_path / "renamed" / elsewhere.relative_to(tmp_path / "place"))


def test_paths_that_are_none_are_a_damaged_file(elsewhere: Path, capsys):
    file = elsewhere.parent / "run.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"paths": {"model": 5}}))
    assert "run.json: paths: model is 5, not" in refusal(capsys, "--model_path", elsewhere)
    assert evaluate.main(["--model_path", str(elsewhere), "--prompt", "a"]) == 2
