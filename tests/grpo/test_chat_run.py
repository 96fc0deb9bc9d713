"""A run of an instruct model: routed, from questions of a dataset's column to replies, and `evaluate.py --prompt` after it."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import evaluate
import launch
from configs.errors import UserError
from grpo import step
from runs.reevaluation import read_prompt
from runs.restore import load_run
from tests.helpers import only_run

# As ChatML does, it ends what is asked with the token that ends a reply.
TEMPLATE = (
    "{% for message in messages %}the {{ message['content'] }} [EOS]{% endfor %}"
    "{% if add_generation_prompt %} she said{% endif %}"
)
QUESTIONS = {split: [f"{word} cat {i}?" for i in range(6) for word in words] for split, words in (
    ("train", ("big", "small")), ("test", ("old", "happy")))}  # fmt: skip


def texts_of(_dataset: str, column: str) -> Callable[[str], Iterator[str]]:
    assert column == "question"
    return lambda split: iter([*QUESTIONS[split], f"{split} " * 70])  # the last is longer than the context


@pytest.fixture
def chat_folder(model_folder: Path, tmp_path: Path) -> Path:
    shutil.copytree(model_folder, tmp_path / "chat")
    (tmp_path / "chat" / "chat_template.jinja").write_text(TEMPLATE)
    return tmp_path / "chat"


@pytest.fixture
def chat_words(tiny_words: Callable[..., list[str]], chat_folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr("grpo.run.load_texts", texts_of)
    named = ["--env.name=chat", "--text_column=question", f"--model={chat_folder}", "--dataset=somewhere"]
    return [*tiny_words(), "--routing.enabled", "--reward=happy_count(cap=2)", "--log_all_samples", *named]


def transformers_ids(folder: Path, question: str) -> tuple[int, ...]:
    tokenizer, messages = AutoTokenizer.from_pretrained(folder), [{"role": "user", "content": question}]
    return tuple(tokenizer.apply_chat_template(messages, add_generation_prompt=True)["input_ids"])


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_routed_run_asks_questions_through_the_template(
    chat_words: list[str], chat_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    sampled: list[tuple[int, ...]] = []
    sample = step.sample

    def recorded(model: Any, prompts: Any, *rest: Any) -> Any:
        sampled.extend(map(tuple, prompts))
        return sample(model, prompts, *rest)

    monkeypatch.setattr(step, "sample", recorded)
    assert launch.main(chat_words) == 0
    folder = only_run(tmp_path / "output")
    expected = {text: transformers_ids(chat_folder, text) for text in QUESTIONS["train"]}
    assert len(sampled) == 6 and {*sampled} <= {*expected.values()}
    rows = rows_of(folder / "samples.jsonl")
    assert {row["prompt"] for row in rows} <= {*QUESTIONS["train"]}
    assert [row["reward"] for row in rows] == [min(row["completion"].count("happy"), 2) / 2 for row in rows]
    assert len({row["reward"] for row in rows}) > 1
    log = (folder / "train.log").read_text()
    assert "left out, as longer than 52 tokens: 1 of 13 training prompts, 1 of 13 evaluation prompts" in log
    run = load_run(folder / "checkpoint-3")
    assert read_prompt(run, "big cat?").token_ids == transformers_ids(chat_folder, "big cat?")
    with pytest.raises(UserError, match="holds the end-of-text token"):  # of the user's, beside the template's
        read_prompt(run, "big [EOS] cat?")
    capsys.readouterr()
    asked = ["--model_path", str(folder / "checkpoint-3"), "--prompt", "big cat?", "--temperature", "0"]
    assert evaluate.main(asked) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["both", "retain_only", "forget_only", "base"]
    assert all(" big cat? >> " in line for line in lines)


def test_bos_is_the_templates_own(chat_words: list[str], capsys: pytest.CaptureFixture[str]):
    assert launch.main([*chat_words, "--env.bos=always"]) == 2
    said = capsys.readouterr().err
    assert said == "error: --env.bos always: has no effect with --env.name chat: the model's chat template puts it\n"


def test_a_model_without_a_template_is_refused(
    chat_words: list[str], model_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert launch.main([*chat_words, f"--model={model_folder}"]) == 2
    assert "has no chat template; --env.name stories is for models without" in capsys.readouterr().err
    assert not (tmp_path / "output").exists()
