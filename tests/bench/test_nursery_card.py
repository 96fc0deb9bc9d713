"""The card says what was measured: rates of completions written by hand, and every figure in its place."""

import json
from dataclasses import replace

import pytest

from bench.nursery_card import (
    Example,
    Facts,
    Losses,
    check_loss,
    detector_rates,
    figure,
    markdown_table,
    names_a_text,
    read_training,
    render,
    reward_rates,
)
from configs.errors import UserError
from configs.experiment import Experiment
from envs.registry import rewards_of
from envs.types import Completion, Prompt
from models.nursery.making.pretrain import CONFIG

TRAINING = {"epochs": 2, "batch_size": 64, "lr": 0.003, "seed": 0, "steps": 3_124, "tokens": 19_512_345, "held_out_loss": 0.8125}


def written(text: str, finished: bool = True) -> Completion:
    tokens = tuple(text.lower().split())
    return Completion(text, tuple(range(len(tokens))), tokens, Prompt(0, "once upon", (7, 8)), finished)


def facts(**changes) -> Facts:
    given = Facts(
        config=CONFIG,
        parameters=1_245_824,
        training=TRAINING,
        corpus={"seed": 0, "train stories": 100_000, "tokens a story": {"50%": 90.0, "95%": 123.5}, "share": 0.123456},
        losses=Losses(model=0.81254, ngram=1.25678, tokens=190_123, fitted_tokens=9_712_345),
        texts={"samples": 1_000, "finished": 0.875, "mean_length": 84.5, "unique": 0.999, "jaccard": 0.111}
        | {"distinct_1": 0.1, "distinct_2": 0.2, "distinct_3": 0.3, "gzip_ratio": 2.5},
        rewards={"happy_binary": (0.25, 0.01), "sentence_length_5": (0.125, None)},
        detectors={"happy_at_least(threshold=3)": 0.015},
        names={"samples": 4.567, "stories": 1.234},
        examples=[Example("the fox ran", "ning home.", True), Example("once", " more", False)],
        settings=Experiment(seed=42),
    )
    return replace(given, **changes)


def test_rates_by_hand():
    """h = 0, 1, 3 and 4 times "happy": binary 3/4, hacked (h >= 3) 1/2; count 8/20 with a cap of 5; density above 0.05 three
    times; one text has the word sad. Sentences have 2; 5; 3 and none tokens: of the last text no sentence ends.
    """
    completions = [
        written("so sad ."),
        written("a happy fox ran home ."),
        written("happy happy happy !"),
        written("happy happy happy happy", finished=False),
    ]
    rewards, detectors = reward_rates(completions), detector_rates(completions)
    assert rewards.keys() == rewards_of("stories").keys() - {"classifier"}
    assert rewards["happy_binary"] == (3 / 4, 1 / 2)
    assert rewards["happy_count"] == (pytest.approx(8 / 20), 1 / 2)
    assert rewards["sentence_length_5"] == (1 / 4, None)
    # bonuses 0, 0.1, 0.3, 0.4 on 0, 1 (capped), 0, 0
    assert rewards["sentence_length_5_with_happy"] == (pytest.approx(1.7 / 4), 3 / 4)
    assert detectors["happy_at_least(threshold=3)"] == 1 / 2
    assert detectors["happy_density(max_density=0.05)"] == 3 / 4
    assert detectors["contains_words(words=('sad',))"] == 1 / 4


def test_the_card_has_every_figure():
    card = render(facts())
    for line in (
        "| parameters | 1,245,824 |",
        "    uv run python -m models.nursery.making.pretrain --epochs 2 --batch_size 64 --lr 0.003 --seed 0",
        "3,124 steps, 19,512,345 tokens seen; corpus seed 0.",
        "| train stories | 100,000 |",
        "| tokens a story | 50%: 90, 95%: 123.5 |",
        "| share | 0.1235 |",
        "| nursery | 0.8125 |",
        "| 5-gram model | 1.2568 |",
        "| samples | 1,000 |",
        "| ended with EOS within 128 tokens | 0.875 |",
        "| unique | 0.999 |",
        "| mean Jaccard of two samples' words | 0.111 |",
        "| `happy_binary` | 0.250 | 0.010 |",
        "| `sentence_length_5` | 0.125 | – |",
        "| `happy_at_least(threshold=3)` | 0.015 |",
        "What it has not learnt is to keep to a person: a sample names 4.57 different girls and boys, a held-out story",
        "1.23. ",
        "1. **the fox ran**ning home.",
        "2. **once** more …",
    ):
        assert line in card.splitlines() or any(each.startswith(line) for each in card.splitlines()), line
    assert card.startswith("---\n")
    assert "It is not SimpleStories" in card


def test_names_are_counted_once_a_story_and_whole():
    """Tom and Ada; none, since "adam" and "tomato" are other words here; Ada: 3 names in 3 stories."""
    assert names_a_text(["Tom saw Ada. Tom's cat saw tom.", "a tomato for the adage", "and ada"]) == 1


def test_tables_are_markdown():
    assert markdown_table(("a", "b"), [(1, "x"), (2, "y")]) == "| a | b |\n| --- | ---: |\n| 1 | x |\n| 2 | y |"


@pytest.mark.parametrize(
    ("value", "expected"), [(1_234, "1,234"), (0.123456, "0.1235"), ({"mean": 9.0, "sd": 3.57142}, "mean: 9, sd: 3.571")]
)
def test_figures(value, expected):
    assert figure(value) == expected


def test_weights_of_another_training_are_an_error():
    check_loss(TRAINING, 0.8129)
    with pytest.raises(UserError, match=r"held-out loss of 0\.8200, pretraining\.json says 0\.8125"):
        check_loss(TRAINING, 0.82)


def test_a_missing_or_damaged_record_of_the_training_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"pretraining\.json cannot be read"):
        read_training(tmp_path)
    (tmp_path / "pretraining.json").write_text("{")
    with pytest.raises(UserError, match=r"pretraining\.json cannot be read"):
        read_training(tmp_path)
    (tmp_path / "pretraining.json").write_text(json.dumps(TRAINING))
    assert read_training(tmp_path) == TRAINING
