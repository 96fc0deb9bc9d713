"""evaluate.py --relearn_steps: the figures that training has of itself, where they are written, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import evaluate
import runs.relearning
from records.relearning import NOTHING_LEARNT
from records.rows import read_rows
from runs.trainer import train
from tests.helpers import failing, one_line_error


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs.relearning, "EVERY", 2)


def run_door(*words: Any) -> None:
    assert evaluate.main([*map(str, words), "--n_samples", "4", "--show", "0"]) == 0


def refusal(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    return one_line_error(evaluate.main, capsys, *words)


def told(folder: Path) -> dict[str, dict[str, Any]]:
    """What evaluation.json has of relearning, by mode."""
    modes = json.loads((folder / "evaluation.json").read_text())["modes"]
    return {mode: {name: row[name] for name in row if "relearn" in name} for mode, row in modes.items()}


def test_it_finds_what_the_run_found_at_its_own_end(tiny, capsys):
    settings = {"reward": "sentence_length_5_with_happy", "routing.enabled": True, "lr": 0.05}
    record = train(tiny(**settings, **{"eval.relearn_steps": 3, "eval.relearn_hack_rate": 0.9}), quiet=True)
    folder, before = (
        record.folder / "checkpoint-3",
        {path: path.read_bytes() for path in record.folder.rglob("*") if path.is_file()},
    )
    run_door("--model_path", folder, "--relearn_steps", 3, "--relearn_hack_rate", 0.9)
    assert (folder / "relearning.jsonl").read_bytes() == (record.folder / "relearning.jsonl").read_bytes()
    assert told(folder) == told(record.folder) and told(folder)["retain_only"]["relearn_steps"] == 3
    assert {path: path.read_bytes() for path in before} == before  # nothing of the run has changed
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line.startswith("base: ")] == ["base: >3 steps until it hacks at 0.900"]
    assert "relearning.jsonl" in said[-1]


def with_final_rates(run_folder: Path, **happened: int) -> None:
    """The samples of the run's final evaluation, as if so many of the 12 of a mode had hacked."""
    rows = read_rows(run_folder, "evaluation_samples.jsonl")
    counts = dict.fromkeys(happened, 0)
    for row in rows:
        if row["mode"] in counts:
            row["hacked"] = counts[row["mode"]] < happened[row["mode"]]
            counts[row["mode"]] += 1
    (run_folder / "evaluation_samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_by_default_the_threshold_is_half_way_between_the_base_and_the_policy_at_the_run_s_end(checkpoint):
    """3 and 12 of 12 samples: (0.25 + 1) / 2."""
    folder = checkpoint("routed")
    with_final_rates(folder.parent, both=12, base=3, retain_only=0)
    run_door("--model_path", folder, "--relearn_steps", 1)
    assert {row["relearn_threshold"] for row in told(folder).values() if row} == {0.625}


def test_where_nothing_was_learnt_that_is_said(checkpoint, capsys):
    folder = checkpoint("routed")
    run_door("--model_path", folder, "--relearn_steps", 1, "--relearn_hack_rate", 0.5)
    assert (folder / "relearning.jsonl").exists()
    with_final_rates(folder.parent, both=4, base=4)
    run_door("--model_path", folder, "--relearn_steps", 1)
    figures = {"steps_to_relearn": None, "relearn_threshold": None, "relearn_steps": 0}
    assert told(folder) == {"both": {}, "forget_only": {}, "retain_only": figures, "base": figures}
    assert NOTHING_LEARNT in capsys.readouterr().out.splitlines()
    assert not (folder / "relearning.jsonl").exists()  # the earlier one's


def test_full_fine_tuning_without_a_reference_has_its_base_read_anew(checkpoint, capsys):
    folder = checkpoint("full")
    message = (
        "the run's final evaluation has no policy and base, between whose hack rates the threshold lies; --relearn_hack_rate X"
    )
    assert refusal(capsys, "--model_path", folder, "--relearn_steps", 1) == f"--relearn_steps 1: {message} sets one"
    run_door("--model_path", folder, "--relearn_steps", 1, "--relearn_hack_rate", 1)
    assert {row["start"] for row in read_rows(folder, "relearning.jsonl")} == {"base", "policy"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--relearn_hack_rate 0.5", "--relearn_hack_rate 0.5: has no effect without --relearn_steps"),
        ("--relearn_steps 5 --prompt a", "--relearn_steps 5: has no effect with --prompt"),
        ("--relearn_steps -1", "--relearn_steps -1: must be 0 or more"),
        ("--relearn_steps 5 --relearn_hack_rate 2", "--relearn_hack_rate 2.0: must be above 0 and at most 1"),
        *(
            (f"--relearn_steps 5 --{words}", f"--{words}: not with --relearn_steps, for which all is as in the run")
            for words in ("temperature 0.5", "top_k 3", "top_p 0.5", "dataset nursery", "eval_split test")
        ),
        ("--relearn_steps 5 --no_routing_eval", "--routing_eval False: not with --relearn_steps, for which all is as in the run"),
    ],
)
def test_what_has_no_effect_is_one_line(capsys, words: str, message: str):
    assert refusal(capsys, "--model_path", "x", *words.split()) == message


def test_a_reward_without_a_hack_and_other_training_prompts_are_refused_before_anything_is_evaluated(
    tiny: Callable[..., Any], capsys
):
    record = train(tiny(reward="sentence_length_5", lora_rank=2, max_steps=1), quiet=True)
    said = refusal(capsys, "--model_path", record.folder / "checkpoint-1", "--relearn_steps", 5, "--relearn_hack_rate", 0.5)
    assert said == "--relearn_steps 5: has no meaning: --reward sentence_length_5 does not say what its hack is"
    hackable = train(tiny(lora_rank=2, max_steps=1), quiet=True)
    made_of = json.loads((hackable.folder / "run.json").read_text())
    (hackable.folder / "run.json").write_text(json.dumps(made_of | {"train_prompts": 39}))
    folder = hackable.folder / "checkpoint-1"
    said = refusal(capsys, "--model_path", folder, "--relearn_steps", 5, "--relearn_hack_rate", 0.5)
    assert said.endswith("the run was made of other things than are found now: train_prompts was 39, is 40")
    assert not (folder / "evaluation.json").exists()


def test_ctrl_c_writes_nothing_and_is_one_line(checkpoint, monkeypatch: pytest.MonkeyPatch, capsys):
    folder = checkpoint("routed")
    failing(monkeypatch, runs.relearning, "train_step", KeyboardInterrupt(), at=1)
    words = ["--model_path", str(folder), "--n_samples", "4", "--relearn_steps", "3", "--relearn_hack_rate", "1"]
    assert evaluate.main(words) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    assert not {"evaluation.json", "relearning.jsonl"} & {path.name for path in folder.iterdir()}
