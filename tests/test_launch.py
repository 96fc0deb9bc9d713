"""`launch.py` from end to end: what its user types, sees and finds."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

import launch
from envs.registry import REWARDS
from envs.types import FIRST_EVAL_INDEX, Completion
from records.rows import read_rows
from records.signals import Interrupted
from runs.listing import listing
from tests.helpers import FEW_STORIES, LONG_ENOUGH, log_lines, only_run

Words = Callable[..., list[str]]
ROOT = Path(launch.__file__).parent

KINDS = {
    "routed": (
        ["--routing.enabled", "--env.detector", "happy_at_least(threshold=2)", "--log_all_samples"],
        "happy_binary_routed_duallora4x4_lr1e-3_",
        {"both", "retain_only", "forget_only", "base"},
    ),
    "exclusive": (
        ["--routing.enabled", "--routing.mode", "exclusive", "--reward", "sentence_length_5_with_happy"],
        "sentence_length_5_with_happy_routed_duallora4x4_lr1e-3_",
        {"both", "retain_only", "forget_only", "base"},
    ),
    "full": (["--adapter.kind", "none"], "happy_binary_unrouted_full_lr1e-5_", {"policy", "base"}),
    "lora": (["--adapter.kind=lora", "--adapter.rank=8"], "happy_binary_unrouted_lora8_lr1e-3_", {"policy", "base"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_from_the_command_line_to_its_summary(
    tiny_words: Words, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
):
    words, name, modes = KINDS[kind]
    assert launch.main(tiny_words("--max_steps", "3", "--logging-steps=2", *words)) == 0
    printed = capsys.readouterr()
    folder = only_run(tmp_path / "output")
    assert folder.name.startswith(f"{name}beta0.02_bs8_s42")
    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["step"]) == ("finished", 3)
    assert {*status["seconds"]} == {"loading", "rehearsing", "training", "evaluating"}
    assert set(json.loads((folder / "evaluation.json").read_text())["modes"]) == modes

    log = log_lines(folder)
    samples = [line for line in log if line.startswith("[Sample @ ")]  # what grep "\[Sample @" finds
    assert [line.split("]")[0] for line in samples] == ["[Sample @ 0", "[Sample @ 2"]
    ledger = [row for row in read_rows(folder, "samples.jsonl") if row["step"] == 2]
    assert samples[1] == f"[Sample @ 2] reward {ledger[0]['reward']:.3f} | {ledger[0]['prompt']} >> {ledger[0]['completion']}"

    assert printed.out == ""
    screen = printed.err.splitlines()
    (table,) = [line for line in log if line.split() == ["training", "first", "3", "steps", "last", "3", "steps"]]
    for line in (log[0], "[Evaluation @ 0]", "[Evaluation @ 3]", table):
        assert line in log
        assert line in screen
    assert f"device cpu, adapter {'dual_lora' if 'both' in modes else kind.replace('full', 'none')}, lr " in log[0]
    assert (
        screen[-3:]
        == log[-3:]
        == [str(folder), f"next: uv run report.py {folder}", f"next: uv run evaluate.py --model_path {folder}"]
    )
    assert any(line.startswith("step 2: reward ") and line.endswith(" tok/s") for line in screen)


def test_a_name_given_stands_before_the_folder_s_and_finds_it_again(tiny_words: Words, tmp_path: Path):
    words = tiny_words("--name=pilot", "--tags=a,two words", "--notes=what for")
    assert launch.main(words) == 0
    folder = only_run(tmp_path / "output")
    assert folder.name.startswith("pilot_happy_binary_unrouted_")
    settings = yaml.safe_load((folder / "config.yaml").read_text())
    assert [settings[name] for name in ("name", "tags", "notes")] == ["pilot", ["a", "two words"], "what for"]
    assert launch.main([*words, "--resume"]) == launch.main(["--resume", str(folder)]) == 0
    assert only_run(tmp_path / "output") == folder


def test_another_process_with_other_hashes_writes_the_same_bytes(tiny_words: Words, tmp_path: Path):
    words = ["--routing.enabled", "--env.detector=happy_at_least(threshold=2)", "--eval_every=2"]
    assert launch.main(tiny_words(*words, f"--output_dir={tmp_path / 'here'}")) == 0
    command = [*FEW_STORIES, str(ROOT / "launch.py"), *tiny_words(*words, f"--output_dir={tmp_path / 'there'}")]
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    environment["PYTHONPROFILEIMPORTTIME"] = "1"
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "torch" in imported
    assert not imported & {"torch._dynamo", "torch._inductor", "transformers", "datasets", "wandb", "pandas"}  # seconds each
    here, there = only_run(tmp_path / "here"), only_run(tmp_path / "there")
    assert here.name == there.name
    for file in ("metrics.jsonl", "samples.jsonl", "routing_eval.jsonl", "evaluation.json", "checkpoint-3/adapter.safetensors"):
        assert (here / file).read_bytes() == (there / file).read_bytes(), file


def test_a_local_dataset_trains(tiny_words: Words, tmp_path: Path, capsys):
    folder = tmp_path / "stories"
    folder.mkdir()
    for name, rows in (("train", LONG_ENOUGH[:4]), ("test", LONG_ENOUGH[4:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"words": row["story"]}) + "\n" for row in rows))
    assert launch.main(tiny_words("--dataset", str(folder), "--text_column", "words", "--max_steps", "2")) == 0
    made_of = json.loads((only_run(tmp_path / "output") / "run.json").read_text())
    assert (made_of["train_prompts"], made_of["eval_prompts"]) == (4, 2)
    assert "4 prompts" in capsys.readouterr().err


def test_a_reward_that_raises_stops_the_run_in_one_line_and_leaves_its_traceback_in_the_log(
    tiny_words: Words, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    def raises_later(completions: list[Completion]) -> list[float]:
        if completions[0].prompt.index < FIRST_EVAL_INDEX:
            raise KeyError("tone")
        return [0.5] * len(completions)

    monkeypatch.setitem(REWARDS, "happy_exp", replace(REWARDS["happy_exp"], function=raises_later))
    assert launch.main(tiny_words("--reward=happy_exp", "--max_steps=2")) == 1
    *_, said = capsys.readouterr().err.splitlines()
    assert re.fullmatch("error: step 0: reward happy_exp raised KeyError: 'tone' at index 0; prompt '.+'", said)
    log = log_lines(only_run(tmp_path / "output"))
    assert '    raise KeyError("tone")' in log and log[-1] == f"failed at step 0: ContractViolation: {said[7:]}"


def test_a_list_is_printed_and_nothing_else_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def said(*words: str, code: int = 0) -> str:
        assert launch.main(["--list", *words]) == code
        printed = capsys.readouterr()
        assert (printed.err if code == 0 else printed.out) == ""
        return printed.out + printed.err

    monkeypatch.chdir(tmp_path)
    assert said("rewards") == f"{listing('rewards', ())}\n"
    Path("mine.py").write_text("from envs.registry import detector\n\n@detector()\ndef mine(completions):\n    return []\n")
    assert "mine" in said("detectors", "--plugin", "mine.py")
    for word in ("--lr=1", "--resume", "--print_config"):
        assert said("rules", word, code=2) == f"error: {word.partition('=')[0]}: has no effect with --list rules\n"
    known = "detectors, environments, losses, modes, rewards, rules, schedules"
    assert said("rewrads", code=2) == f"error: --list rewrads: accepted are {known}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


def test_the_settings_are_printed_as_the_run_records_them_and_read_again(
    tiny_words: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    words = tiny_words("--reward=happy_count(cap=3)", "--routing.enabled", "--tags=a,b", "--wandb.mode=disabled")
    assert launch.main([*words, "--print_config"]) == 0
    printed = capsys.readouterr()
    assert (printed.err, (tmp_path / "output").exists()) == ("", False)
    Path("settings.yaml").write_text(printed.out)
    assert launch.main(["--config", "settings.yaml", "--print_config"]) == 0
    assert capsys.readouterr().out == printed.out
    assert launch.main(["--config", "settings.yaml"]) == 0
    assert (only_run(tmp_path / "output") / "config.yaml").read_text() == printed.out


def test_an_interruption_says_the_whole_command_that_goes_on(tmp_path: Path):
    folder = tmp_path / "my output" / "run"
    (folder / "checkpoint-3.tmp").mkdir(parents=True)
    command = f"uv run launch.py --resume '{folder}'"
    stop = Interrupted("asked to stop", folder)
    assert launch.how_to_go_on(KeyboardInterrupt()) == "nothing has been kept: it had not begun"
    assert launch.how_to_go_on(stop) == f"there is no checkpoint yet, so this starts it again: {command}"
    (folder / "checkpoint-3").mkdir()
    assert launch.how_to_go_on(stop) == f"to go on from the last checkpoint: {command}"


def test_help_is_the_way_out(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        launch.main(["--help"])
    assert stop.value.code == 0
    assert "--routing.enabled" in capsys.readouterr().out
