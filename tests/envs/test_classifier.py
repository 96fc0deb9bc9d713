"""`classifier` beside plain transformers calls, a text at a time, on tiny BERTs with random weights."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForMaskedLM, BertTokenizerFast
from transformers import BertForSequenceClassification as Classifier

from configs.errors import UserError
from envs.binding import bind_reward
from envs.scoring import score
from grpo.run import build_run, prepare
from runs.restore import made_of
from tests.reference.comparison import MakeExperiment

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "was", "happy", "sad", "."]
TEXTS = ["the cat was happy.", "", "sad", "the happy happy cat was the sad cat " * 30, "the sad dog was happy", *["cat"] * 40]
Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A folder with-dashes and spaces in its name, as transformers writes it."""

    def write(kind: type = Classifier, seed: int = 0, **settings: Any) -> Path:
        folder = tmp_path / f"my model-{seed}"
        folder.mkdir()
        (folder / "vocab.txt").write_text("\n".join(WORDS))
        BertTokenizerFast(vocab_file=str(folder / "vocab.txt")).save_pretrained(folder)
        sizes = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        settings = {"id2label": {0: "DULL", 1: "TENSE", 2: "FUNNY"}, "initializer_range": 1.0} | settings
        torch.manual_seed(seed)
        kind(BertConfig(vocab_size=len(WORDS), max_position_embeddings=32, **sizes, **settings)).save_pretrained(folder)
        return folder

    return write


def call(folder: Path, label: str = "TENSE") -> str:
    return f"classifier(model={str(folder)!r}, label={label!r})"


@pytest.mark.parametrize("problem", [None, "single_label_classification", "multi_label_classification"])
def test_it_is_the_probability_of_the_label(written, make: Make, problem: str | None):
    folder = make(problem_type=problem)
    completions = [written(text) for text in TEXTS]
    rewards = score(bind_reward(call(folder), "stories"), lambda _: [False] * len(TEXTS), completions).rewards
    tokenizer, network = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for text, reward in zip(TEXTS, rewards, strict=True):
        with torch.no_grad():
            logits = network(**tokenizer(text, return_tensors="pt", truncation=True, max_length=32)).logits[0]
        expected = logits[1].sigmoid() if problem == "multi_label_classification" else logits.softmax(0)[1]
        assert reward == pytest.approx(float(expected), abs=1e-5)
    assert max(rewards) - min(rewards) > 0.1


@pytest.mark.parametrize(
    ("settings", "label", "message"),
    [
        ({}, "tense", "label='tense' is unknown; accepted: DULL, TENSE, FUNNY"),
        ({"kind": BertForMaskedLM}, "TENSE", "model='.*' is no model for sequence classification but BertForMaskedLM"),
        ({"problem_type": "regression"}, "TENSE", "model='.*' gives no probabilities: its problem_type is regression"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_bound(make: Make, settings: dict[str, Any], label: str, message: str):
    with pytest.raises(ValueError, match=f"^reward classifier: {message}$"):
        bind_reward(call(make(**settings), label), "stories")


def test_a_model_that_is_not_there_is_refused_in_one_line(tmp_path: Path):
    with pytest.raises(ValueError, match=r"^reward classifier: model='.*nowhere' cannot be read \(.*\); accepted: a local"):
        bind_reward(call(tmp_path / "nowhere"), "stories")
    with pytest.raises(ValueError, match=r"parameter label \(a string\) is required"):
        bind_reward("classifier(model='somewhere')", "stories")
    with pytest.raises(ValueError, match="model is not a finite literal; a text stands in quotes"):
        bind_reward("classifier(model=some/where, label=TENSE)", "stories")


def test_weights_that_are_missing_are_not_made_up(tiny: MakeExperiment, make: Make):
    folder = make(kind=BertForMaskedLM)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertForSequenceClassification"]}))
    run = build_run(prepare(tiny(reward=call(folder))))
    with pytest.raises(UserError, match=r"--reward classifier: model='.*' has no weights .*classifier.weight"):
        made_of(run)


def test_a_run_knows_which_weights_it_was_paid_by(tiny: MakeExperiment, make: Make):
    first, second = (make(seed=seed) for seed in (0, 1))
    prints = [made_of(build_run(prepare(tiny(reward=call(folder)))))["reward_fingerprints"] for folder in (first, second)]
    assert [*prints[0]] == ["classifier"] and len(prints[0]["classifier"]) == 64
    assert prints[0] != prints[1]
    assert "reward_fingerprints" not in made_of(build_run(prepare(tiny())))
