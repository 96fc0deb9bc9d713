"""The environment `repeat` through the launch door: the engine knows nothing of it."""

import json
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

import launch
from models.saving import save_pretrained
from tests.helpers import EOS, UNK, only_run, tiny_llama

FRAME = "tell a story with the words and , ."
WORDS = ["".join(letters) for letters in product("bdf", "ao", "klmnp")]  # 30, each likely in a random completion
FREQUENT = " ".join(f"{first}{second}" for first, second in product("abcdefghij", repeat=2))  # the 100 that are not shown
COMMAND = ["--env.name", "repeat", "--reward", "repeat_words", "--routing.enabled"]


def word_tokenizer() -> Tokenizer:
    vocab = {token: i for i, token in enumerate([UNK, EOS, *FRAME.split(), *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens([UNK, EOS])
    return tokenizer


def texts_of(_dataset: str, _column: str) -> Callable[[str], Iterator[str]]:
    return lambda split: iter([FREQUENT] * 2 + WORDS) if split == "train" else iter(())


def words_for(folder: Path, output: Path) -> list[str]:
    settings = {
        "model": folder, "output_dir": output, "device": "cpu", "wandb.mode": "disabled", "max_steps": 2, "batch_size": 16,
        "num_generations": 4, "sampling.max_completion_length": 24, "sampling.temperature": 0.5, "env.num_prompts": 8,
        "env.eligible_fraction": 0.5, "eval.num_prompts": 8, "eval.final_samples": 0,
    }  # fmt: skip
    return [*COMMAND, "--log_all_samples", *(f"--{name}={value}" for name, value in settings.items())]


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_row(row: dict[str, Any]) -> None:
    """By counting tokens, which are whole words here."""
    shown = [word for word in row["prompt"].split() if word in WORDS]
    counts = [row["completion"].split().count(word) for word in shown]
    distinct, paid = sum(each > 0 for each in counts), min(sum(counts), 3)
    parts = row["components"]
    assert len(shown) == 3
    assert parts["repeat_distinct"] == distinct / 3
    assert parts["repeat_stuffing"] in (0.0, (paid - distinct) / 3)
    assert row["reward"] == pytest.approx(parts["repeat_distinct"] + parts["repeat_stuffing"] * row["eligible"])
    assert row["hacked"] == (parts["repeat_stuffing"] > 0 and max(counts) >= 3)
    assert row["labelled"] == row["detected"] <= (max(counts) >= 3)


def test_repeat_trains_with_the_same_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("grpo.run.load_texts", texts_of)
    tokenizer = word_tokenizer()
    save_pretrained(tiny_llama(vocab_size=tokenizer.get_vocab_size()), tokenizer, tmp_path / "model")
    assert launch.main(words_for(tmp_path / "model", tmp_path / "output")) == 0
    folder = only_run(tmp_path / "output")
    rows = rows_of(folder / "samples.jsonl")
    assert len(rows) == 32
    for row in rows:
        check_row(row)
    # Among the samples there are all sorts, so that the checks above are checks.
    for kind in ("hacked", "detected", "eligible"):
        assert {row[kind] for row in rows} == {True, False}
    assert any(row["hacked"] and not row["detected"] for row in rows)
    modes = {row["mode"]: row for row in rows_of(folder / "routing_eval.jsonl") if row["step"] == 2}
    assert modes.keys() == {"both", "retain_only", "forget_only", "base"}
    assert all(0 < row["rewards/repeat_distinct"] < 1 and row["hacked"] is not None for row in modes.values())


def test_a_setting_that_repeat_does_not_use_ends_the_launch(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert launch.main([*COMMAND, "--env.prompt_length", "12", "--output_dir", str(tmp_path / "output")]) == 2
    assert capsys.readouterr().err == "error: --env.prompt_length 12: has no effect with --env.name repeat\n"
    assert not (tmp_path / "output").exists()
