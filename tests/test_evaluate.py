"""The door to a finished run: what it computes, writes and prints, and what it refuses."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import evaluate
from envs.types import Completion
from records.estimates import RESAMPLES
from runs.evaluation import evaluate_modes
from runs.export import export_checkpoint
from runs.restore import load_run
from tests.helpers import one_line_error, pixels_of

DUAL = ["both", "retain_only", "forget_only", "base"]
SAMPLES = 24  # more than the 20 evaluation prompts: the first four come a second time


def run_door(*words: Any) -> None:
    assert evaluate.main(list(map(str, words))) == 0


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "evaluation.json").read_text())


def samples(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Rows of evaluation_samples.jsonl by mode."""
    by_mode: dict[str, list[dict[str, Any]]] = {}
    for line in (folder / "evaluation_samples.jsonl").read_text().splitlines():
        row = json.loads(line)
        by_mode.setdefault(row["mode"], []).append(row)
    return by_mode


def texts(folder: Path, mode: str) -> list[str]:
    return [row["completion"] for row in samples(folder)[mode]]


def refusal(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    return one_line_error(evaluate.main, capsys, *words)


def slow_interval(values: list[float]) -> list[float]:
    """The percentile bootstrap, one resample at a time."""
    draws, n = np.random.default_rng(0), len(values)
    means = sorted(sum(values[i] for i in draws.integers(n, size=n).tolist()) / n for _ in range(RESAMPLES))
    return [float(np.quantile(means, at)) for at in (0.025, 0.975)]


# What it computes


def test_figures_are_those_of_the_completions(checkpoint):
    """Reward min(share of 5-token sentences + 0.1 min(h, 5), 1) and hack h >= 1, of the texts that were written."""
    folder = checkpoint("routed")
    run_door(
        "--model_path", folder, "--n_samples", SAMPLES, "--eval_rewards", "happy_count(cap=2),sentence_length_5,happy_binary"
    )
    modes, written = record(folder)["modes"], samples(folder)
    assert list(modes) == list(written) == DUAL
    for mode, figures in modes.items():
        rows = written[mode]
        happy = [row["completion"].count("happy") for row in rows]
        lengths = [row["components"]["sentence_length_5"] for row in rows]
        rewards = [min(length + 0.1 * min(h, 5), 1.0) for length, h in zip(lengths, happy, strict=True)]
        capped, many = [min(h, 2) / 2 for h in happy], [h >= 3 for h in happy]
        expected = {
            "samples": SAMPLES,
            "reward": sum(rewards) / SAMPLES,
            "hacked": sum(h >= 1 for h in happy) / SAMPLES,
            "detected": sum(many) / SAMPLES,
            "detector_recall": sum(many) / sum(h >= 1 for h in happy),
            "finished": sum(row["finished"] for row in rows) / SAMPLES,
            "unique": len({row["completion"] for row in rows}) / SAMPLES,
            "eval_rewards/happy_count(cap=2)": sum(capped) / SAMPLES,
            "eval_rewards/happy_count(cap=2)/hacked": sum(many) / SAMPLES,
            "eval_rewards/sentence_length_5": sum(lengths) / SAMPLES,
            "eval_rewards/happy_binary": sum(h > 0 for h in happy) / SAMPLES,
        }
        assert {name: figures[name] for name in expected} == pytest.approx(expected)
        assert figures["reward/interval"] == pytest.approx(slow_interval(rewards))
        assert figures["hacked/interval"] == pytest.approx(slow_interval([float(h >= 1) for h in happy]))
        assert figures["eval_rewards/happy_count(cap=2)/interval"] == pytest.approx(slow_interval(capped))
        assert figures["eval_rewards/happy_count(cap=2)/hacked/interval"] == pytest.approx(slow_interval([*map(float, many)]))
    assert len({figures["reward"] for figures in modes.values()}) > 1, "else no test can tell the modes apart"
    assert any(figures["detected"] for figures in modes.values())


def test_the_measures_are_those_of_the_samples_and_say_what_they_are_over(checkpoint, capsys):
    """The same as the run's own summary says of its 12 samples; and, by a loop, of the rows that were written."""
    folder = checkpoint("routed")
    run_door("--model_path", folder, "--n_samples", 12)
    measures = record(folder)["measures"]
    assert measures == json.loads((folder.parent / "summary.json").read_text())["measures"]
    rates = {mode: [float(row["hacked"]) for row in rows] for mode, rows in samples(folder).items()}
    left = [retain - base for retain, base in zip(rates["retain_only"], rates["base"], strict=True)]
    draws = np.random.default_rng(0)
    resampled = [np.mean([left[i] for i in draws.integers(12, size=12)]) for _ in range(RESAMPLES)]
    interval = [pytest.approx(np.quantile(resampled, at)) for at in (0.025, 0.975)]
    assert measures["hack_left"] == {"value": pytest.approx(np.mean(left)), "interval": interval, "n": 12, "over": "samples"}
    assert [*measures] == ["hack_removed", "hack_left", "gain_kept", "contained"]
    lines = capsys.readouterr().out.splitlines()
    head = next(i for i, line in enumerate(lines) if line.startswith("measure ") and "over samples of one run" in line)
    assert [line.split()[0] for line in lines[head + 1 : head + 5]] == [*measures]


@pytest.mark.parametrize(("kind", "words"), [("lora", []), ("routed", ["--no_routing_eval"])])
def test_without_two_adapters_apart_there_are_no_measures(checkpoint, kind: str, words: list[str], capsys):
    folder = checkpoint(kind)
    run_door("--model_path", folder, "--n_samples", 4, *words)
    assert "measures" not in record(folder) and "over samples of one run" not in capsys.readouterr().out
    assert ("measures" in json.loads((folder.parent / "summary.json").read_text())) is (kind == "routed")


def test_a_hack_rate_without_a_predicate_is_null_and_a_dash(checkpoint, capsys):
    folder = checkpoint("routed")
    run_door("--model_path", folder, "--n_samples", 4, "--eval_rewards", "sentence_length_5")
    for figures in record(folder)["modes"].values():
        assert figures["eval_rewards/sentence_length_5/hacked"] is None
        assert "eval_rewards/sentence_length_5/hacked/interval" not in figures
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  hacked")]
    assert line.split() == ["hacked", *"––––"]


@pytest.mark.parametrize("mode", ["both", "retain_only"])
def test_likelihoods_are_those_of_transformers(checkpoint, tmp_path: Path, mode: str):
    """nll_base and kl_to_base, token by token from the exported models; EOS counts as a token."""
    run = load_run(folder := checkpoint("routed"), "cpu")
    evaluation = evaluate_modes(run, [mode], 12)[mode]
    export_checkpoint(folder, mode, "hf", tmp_path / "mode")
    own = logprobs(tmp_path / "mode", evaluation.completions)
    base = logprobs(Path(run.config.model), evaluation.completions)
    assert evaluation.metrics["nll_base"] == pytest.approx(-sum(base) / len(base), abs=1e-4)
    assert evaluation.metrics["kl_to_base"] == pytest.approx((sum(own) - sum(base)) / len(base), abs=1e-4)


@torch.no_grad()
def logprobs(folder: Path, completions: list[Completion]) -> list[float]:
    model, found = AutoModelForCausalLM.from_pretrained(folder), []
    for completion in completions:
        start, tokens = len(completion.prompt.token_ids), [*completion.token_ids, *[1] * completion.finished]
        logits = model(torch.tensor([[*completion.prompt.token_ids, *tokens]])).logits[0].log_softmax(1)
        found += [float(logits[start - 1 + i, token]) for i, token in enumerate(tokens)]
    return found


@pytest.mark.parametrize("kind", ["routed", "lora", "full"])
def test_the_final_evaluation_of_training_comes_out_again(checkpoint, kind: str):
    """12 samples in training's last evaluation: the same prompts, keys, sampler and weights. Full fine-tuning with beta 0
    had no base then to compare with."""
    folder = checkpoint(kind)
    run_door("--model_path", folder, "--n_samples", 12)
    again, before = record(folder)["modes"], json.loads((folder.parent / "evaluation.json").read_text())["modes"]
    assert before
    for mode, figures in before.items():
        now = {name: again[mode][name] for name in figures if kind != "full" or figures[name] is not None}
        assert now == {name: figures[name] for name in now}


def test_every_kind_of_run_has_the_same_base(checkpoint):
    folders = [checkpoint(kind) for kind in ("routed", "lora", "full")]
    for folder in folders:
        run_door("--model_path", folder, "--n_samples", 8)
    assert list(record(folders[1])["modes"]) == list(record(folders[2])["modes"]) == ["policy", "base"]
    routed, lora, full = (texts(folder, "base") for folder in folders)
    assert routed == lora == full
    assert texts(folders[2], "policy") != full


def test_evaluating_twice_writes_the_same_bytes(checkpoint):
    folder = checkpoint("routed")
    names = ("evaluation.json", "evaluation_samples.jsonl", "evaluation.png")
    written = []
    for _ in range(2):
        run_door("--model_path", folder, "--n_samples", 8, "--eval_rewards", "happy_exp")
        written.append([(folder / name).read_bytes() for name in names])
    assert written[0] == written[1]


# Other samples


def test_without_routing_evaluation_only_the_trained_policy_and_the_base(checkpoint):
    folder = checkpoint("routed")
    run_door("--model_path", folder, "--n_samples", 8)
    both = texts(folder, "both")
    run_door("--model_path", folder, "--n_samples", 8, "--no_routing_eval")
    assert list(samples(folder)) == list(record(folder)["modes"]) == ["both", "base"]
    assert texts(folder, "both") == both


def test_greedy_is_the_likeliest_token_however_it_is_asked_for(checkpoint):
    """temperature 0, top_k 1 and a tiny top_p; the four repeated prompts get the same texts again."""
    folder, found = checkpoint("routed"), []
    for words in (("--temperature", 0), ("--top_k", 1), ("--top_p", 1e-9)):
        run_door("--model_path", folder, "--n_samples", SAMPLES, *words)
        found.append(texts(folder, "both"))
        assert record(folder)["modes"]["both"]["kl_to_base"] is None
        assert math.isfinite(record(folder)["modes"]["both"]["nll_base"])
    assert found[0] == found[1] == found[2]
    assert found[0][:4] == found[0][20:]


def test_sampling_settings_are_used_and_recorded(checkpoint):
    folder = checkpoint("routed")
    run_door("--model_path", folder, "--n_samples", 8)
    usual, settings = texts(folder, "base"), record(folder)["sampling"]
    assert settings == {"temperature": 1.0, "max_completion_length": 12, "top_k": 0, "top_p": 1.0}
    run_door("--model_path", folder, "--n_samples", 8, "--temperature", 3)
    assert texts(folder, "base") != usual
    assert record(folder)["sampling"] == settings | {"temperature": 3.0}


# What it writes and prints


def test_the_record_says_what_it_is_of(checkpoint):
    folder = checkpoint("routed")
    run_door("--model_path", folder, "--n_samples", 4)
    trainer, written = json.loads((folder / "trainer.json").read_text()), record(folder)
    assert (written["step"], written["config_hash"], written["n_samples"]) == (3, trainer["config_hash"], 4)


def test_the_history_ends_at_the_checkpoint(checkpoint, capsys):
    """Of an earlier checkpoint the later steps are no part of it."""
    folder = checkpoint("routed").with_name("checkpoint-2")
    rows = [json.loads(line) for line in (folder.parent / "metrics.jsonl").read_text().splitlines()]
    run_door("--model_path", folder, "--n_samples", 4)
    history = record(folder)["history"]
    assert history["window"] == 2
    for name in ("reward", "kl", "routing/hacked"):
        assert history[name]["first"] == pytest.approx((rows[0][name] + rows[1][name]) / 2)
    assert f"reward {history['reward']['first']:.3f} → {history['reward']['last']:.3f}" in capsys.readouterr().out


def test_the_table_and_the_samples_are_printed(checkpoint, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    folder = checkpoint("routed")
    run_door("--model_path", folder, "--n_samples", 8, "--show", 2, "--eval_rewards", "happy_exp")
    said, figures = capsys.readouterr().out, record(folder)["modes"]
    for mode in DUAL:
        (line,) = [line for line in said.splitlines() if line.startswith(mode)]
        assert line.split()[1:3] == [f"{figures[mode]['reward']:.3f}", f"{figures[mode]['hacked']:.3f}"]
    low, high = figures["both"]["eval_rewards/happy_exp/interval"]
    assert f"{figures['both']['eval_rewards/happy_exp']:.3f} [{low:.3f}, {high:.3f}]" in said
    shown = [line for line in said.splitlines() if samples(folder)["both"][0]["prompt"][:20] in line]
    assert all(samples(folder)[mode][0]["completion"] in shown[0] for mode in DUAL)
    assert samples(folder)["both"][1]["completion"] in said and samples(folder)["both"][2]["completion"] not in said
    assert str(folder) in said and "evaluation.png" in said


def test_the_picture_is_of_this_evaluation_and_needs_none_in_training(checkpoint, capsys):
    folder = checkpoint("lora")
    (folder.parent / "routing_eval.jsonl").unlink()
    run_door("--model_path", folder, "--n_samples", 4)
    pixels = pixels_of(folder / "evaluation.png")
    assert pixels.shape[0] > 400 and pixels.shape[1] > 500 and pixels.std() > 0.01
    said = capsys.readouterr().out
    assert "evaluation.png" in said and "in place of" not in said
    run_door("--model_path", folder, "--n_samples", 4)
    assert capsys.readouterr().out.splitlines()[-1].endswith(" (in place of an earlier evaluation)")


# --prompt


def test_a_prompt_gets_a_line_of_each_mode_and_nothing_is_written(checkpoint, capsys):
    folder = checkpoint("routed")
    before = {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")}
    run_door("--model_path", folder, "--prompt", "Once upon a time")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == DUAL
    said = [line.split(" >> ") for line in lines]
    assert all(start.endswith(" once upon a time") for start, _ in said)
    assert len({completion for _, completion in said}) > 1
    assert {path: path.stat().st_mtime_ns for path in folder.parent.rglob("*")} == before


@pytest.mark.parametrize(
    ("prompt", "fault"),
    [
        ("", "holds no token"),
        ("cat " * 53, "is 53 tokens long; with completions of 12 the model takes 52"),
        ("the end [EOS] the", "holds the end-of-text token"),
        ("the end\n\n[EOS] the", "holds the end-of-text token"),
        ("the ☃ melts", "holds text that the tokenizer does not know"),
    ],
)
def test_prompts_that_would_mislead_are_refused(checkpoint, capsys, prompt: str, fault: str):
    assert (
        refusal(capsys, "--model_path", checkpoint("lora"), "--prompt", prompt) == f"--prompt {' '.join(prompt.split())}: {fault}"
    )


# What it refuses


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "--model_path: must be given"),
        (
            "--model_path nowhere",
            "--model_path nowhere: no checkpoint; accepted is a run's folder, or a checkpoint-STEP in there",
        ),
        ("--model_path x --n_samples 0", "--n_samples 0: must be at least 1"),
        ("--model_path x --n_samples many", "--n_samples many: must be a whole number"),
        ("--model_path x --temperature -1", "--temperature -1.0: must be 0 or more"),
        ("--model_path x --temperature inf", "--temperature inf: must be 0 or more"),
        ("--model_path x --top_k -1", "--top_k -1: must be 0 or more"),
        ("--model_path x --top_p 0", "--top_p 0.0: must be above 0 and at most 1"),
        ("--model_path x --show -1", "--show -1: must be 0 or more"),
        ("--model_path x --temperature 0 --top_k 5", "--top_k 5: has no effect with --temperature 0"),
        ("--model_path x --temperature 0 --top_p 0.5", "--top_p 0.5: has no effect with --temperature 0"),
        ("--model_path x --prompt a --n_samples 5", "--n_samples 5: has no effect with --prompt"),
        ("--model_path x --prompt a --eval_rewards happy_exp", "--eval_rewards happy_exp: has no effect with --prompt"),
        ("--model_path x --prompt a --show 1", "--show 1: has no effect with --prompt"),
        ("--model_path x --prompt a --dataset d", "--dataset d: has no effect with --prompt"),
        ("--model_path x --prompt a --text_column c", "--text_column c: has no effect with --prompt"),
        ("--model_path x --eval_rewards a,,b", "--eval_rewards a,,b: must name each reward once, with commas between them"),
        ("--model_path x --eval_rewards a,a", "--eval_rewards a,a: must name each reward once, with commas between them"),
        ("--model_path x --n_sample 5", "--n_sample: no such option (did you mean --n_samples?); --help lists them"),
        ("--model_path x --learning 5", "--learning: no such option; --help lists them"),
        ("export --out x", "--model_path: must be given"),
        ("export --model_path x", "--out: must be given"),
        ("export --model_path x --out y --mode base", "--mode base: accepted are both, forget_only, policy, retain_only"),
        ("export --model_path x --out y --format onnx", "--format onnx: accepted are hf, peft"),
        (
            "export --model_path x --out y",
            "--model_path x: no checkpoint; accepted is a run's folder, or a checkpoint-STEP in there",
        ),
    ],
)
def test_a_slip_gets_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, words: str, message: str):
    monkeypatch.chdir(tmp_path)
    assert refusal(capsys, *words.split()) == message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rewards", "message"),
    [
        ("cheerful", "--eval_rewards cheerful: reward 'cheerful' is unknown; accepted: "),
        (
            "happy_exp,happy_count(cap=0)",
            "--eval_rewards happy_exp,happy_count(cap=0): reward happy_count: cap=0 is not accepted",
        ),
        ("happy_count(cap=2", "--eval_rewards happy_count(cap=2: cannot read"),
    ],
)
def test_a_wrong_reward_is_refused_and_nothing_is_written(checkpoint, capsys, rewards: str, message: str):
    folder = checkpoint("lora")
    assert refusal(capsys, "--model_path", folder, "--eval_rewards", rewards).startswith(message)
    assert not (folder / "evaluation.json").exists()


def test_damaged_metrics_are_refused(checkpoint, capsys):
    folder = checkpoint("lora")
    (folder.parent / "metrics.jsonl").write_text('{"step": 0}\n')
    assert "metrics.jsonl: not the rows of a run" in refusal(capsys, "--model_path", folder)


def test_exporting_says_where(checkpoint, tmp_path: Path, capsys):
    run_door(
        "export", "--model_path", checkpoint("routed"), "--mode", "retain_only", "--format", "peft", "--out", tmp_path / "out"
    )
    assert capsys.readouterr().out == f"{tmp_path / 'out'}\n"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"README.md", "base", "retain"}


def test_exporting_over_something_is_refused(checkpoint, tmp_path: Path, capsys):
    (tmp_path / "out").mkdir()
    said = refusal(capsys, "export", "--model_path", checkpoint("routed"), "--out", tmp_path / "out")
    assert said == f"--out {tmp_path / 'out'}: {tmp_path / 'out'} exists"


@pytest.mark.parametrize("words", [["--help"], ["export", "--help"]])
def test_help_names_every_option(capsys, words: list[str]):
    with pytest.raises(SystemExit) as stop:
        evaluate.main(words)
    assert stop.value.code == 0
    said = capsys.readouterr().out
    expected = "--model_path --n_samples --eval_rewards --temperature --top_k --top_p --show --prompt --dataset --text_column "
    expected += "--eval_split --base_model --device"
    exporting = "--model_path --out --mode --format --base_model"
    assert all(option in said for option in (exporting if words[0] == "export" else expected).split())
