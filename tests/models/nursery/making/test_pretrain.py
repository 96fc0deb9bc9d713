"""Pretraining on a few stories: a stopped run goes on as if nothing had been, and the loss is what its definition says."""

import argparse
import itertools
import json
import math
import random
import shutil

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from models.llama import Llama
from models.loading import load_pretrained
from models.nursery.generator import DATA, stories
from models.nursery.making import pretrain
from models.nursery.making.pretrain import (
    CONFIG,
    IGNORED,
    LONGEST,
    encode,
    epoch_batches,
    held_out_loss,
    learning_rate,
    padded,
    summed_loss,
)
from tests.helpers import tiny_config, tiny_llama

TOKENIZER = Tokenizer.from_file(str(DATA / "tokenizer.json"))
ROWS = [[5, 9, 1], [7, 3, 12, 8, 1], [4, 1]]
EVERY = 4  # steps between checkpoints, of 20 in all


@pytest.fixture
def run(monkeypatch, tmp_path):
    """`run(name)` trains a tiny model on 40 stories, twice over, in a folder of its own; again, if it was stopped.

    `run(name, stop=n)` is stopped when it computes its n-th loss.
    """
    texts = {"train": list(stories("train", 40)), "test": list(stories("test", 6))}
    monkeypatch.setattr(pretrain, "CONFIG", tiny_config(vocab_size=4_096, num_hidden_layers=1, max_position_embeddings=LONGEST))
    monkeypatch.setattr(pretrain, "stories", lambda split, count=None: texts[split][:count])

    def train(name: str, stop: int | None = None, **changes):
        data = tmp_path / name
        data.mkdir(exist_ok=True)
        shutil.copy(DATA / "tokenizer.json", data)
        options = {"epochs": 2, "batch_size": 4, "lr": 3e-3, "seed": 0, "eval_every": EVERY, "work": data / "work"} | changes
        losses = itertools.count(1)

        def loss_or_stop(model, rows):
            if next(losses) == stop:
                raise KeyboardInterrupt
            return summed_loss(model, rows)

        with monkeypatch.context() as patch:
            patch.setattr(pretrain, "DATA", data)
            patch.setattr(pretrain, "summed_loss", loss_or_stop)
            pretrain.pretrain(argparse.Namespace(**options))
        return data

    return train


def result(folder) -> tuple[bytes, dict]:
    training = json.loads((folder / "pretraining.json").read_text())
    return (folder / "model.safetensors").read_bytes(), training | {"work": None}


@pytest.mark.parametrize("stops", [(7,), (14, 9), (3,)])
def test_a_stopped_run_ends_as_an_undisturbed_one(run, stops):
    """20 steps, 10 a pass over the stories, and one held-out loss after each 4. Losses 7, 14 and 3 are those of step 6, of
    step 12 in the second pass, and of step 3, before the first checkpoint; the second stop of 14, 9 comes in step 16.
    """
    undisturbed = run("undisturbed")
    for stop in stops:
        with pytest.raises(KeyboardInterrupt):
            run("stopped", stop=stop)
        assert not (undisturbed.parent / "stopped" / "model.safetensors").exists()
    assert result(run("stopped")) == result(undisturbed)


def test_what_pretraining_leaves_behind(run):
    """The log has a line for each held-out loss, the card's figures are those of the last one, the weights have learnt."""
    folder = run("run")
    log = [json.loads(line) for line in (folder / "work" / "log.jsonl").read_text().splitlines()]
    training = json.loads((folder / "pretraining.json").read_text())
    rows = encode(list(stories("train", 40)), TOKENIZER)
    assert [row["step"] for row in log] == [4, 8, 12, 16, 20]
    assert (training["steps"], training["epochs"]) == (20, 2)
    assert training["tokens"] == log[-1]["tokens"] == 2 * sum(len(row) - 1 for row in rows)
    assert training["held_out_loss"] == log[-1]["held_out_loss"] < log[0]["held_out_loss"] < math.log(4_096)
    weights = load_file(folder / "model.safetensors")
    model = Llama(tiny_config(vocab_size=4_096, num_hidden_layers=1, max_position_embeddings=LONGEST))
    model.load_state_dict(weights, strict=True)
    assert held_out_loss(model, encode(list(stories("test", 6)), TOKENIZER)) == training["held_out_loss"]


def test_the_initial_weights_and_the_order_are_of_the_seed(run):
    assert result(run("a", epochs=1))[0] == result(run("b", epochs=1))[0] != result(run("c", epochs=1, seed=1))[0]


# The parts


@pytest.mark.parametrize(
    ("step", "total", "expected"),
    [
        (0, 1_100, 0.01),  # 100 steps up
        (49, 1_100, 0.5),
        (99, 1_100, 1.0),
        (100, 1_100, 1.0),
        (600, 1_100, 0.5),  # 500 of the 1,000 after the warm-up are left
        (1_099, 1_100, 0.001),
        (0, 10, 0.2),  # a short run warms up for half of its steps
        (4, 10, 1.0),
        (9, 10, 0.2),
        (0, 1, 1.0),
    ],
)
def test_the_learning_rate_rises_and_falls_linearly(step, total, expected):
    assert learning_rate(step, total, peak=3e-3) == pytest.approx(3e-3 * expected, rel=1e-12)


@pytest.mark.parametrize(("rows", "left_out"), [(640, 0), (643, 3), (100, 4)])
def test_batches_hold_every_story_of_an_epoch_once_but_for_an_unfilled_last_one(rows, left_out):
    lengths = random.Random(0)
    stories_of_tokens = [[0] * lengths.randint(20, 200) for _ in range(rows)]
    batches = epoch_batches(stories_of_tokens, batch_size=8, seed=0, epoch=3)
    assert {len(batch) for batch in batches} == {8}
    numbers = [i for batch in batches for i in batch]
    assert len(set(numbers)) == len(numbers) == rows - left_out


def test_the_order_is_of_seed_and_epoch():
    rows = [[0] * (i % 90) for i in range(200)]
    assert epoch_batches(rows, 8, seed=0, epoch=1) == epoch_batches(rows, 8, seed=0, epoch=1)
    assert epoch_batches(rows, 8, seed=0, epoch=1) != epoch_batches(rows, 8, seed=0, epoch=2)
    assert epoch_batches(rows, 8, seed=0, epoch=1) != epoch_batches(rows, 8, seed=1, epoch=1)


def test_the_stories_of_a_batch_are_of_like_length():
    """Lengths of 20 to 200: at random, the longest of 8 would be 180 on average, and 39 % of a batch padding."""
    lengths = random.Random(0)
    rows = [[0] * lengths.randint(20, 200) for _ in range(800)]
    batches = epoch_batches(rows, 8, seed=0, epoch=0)
    assert sum(max(len(rows[i]) for i in batch) * 8 for batch in batches) < 1.05 * sum(map(len, rows))
    longest = [max(len(rows[i]) for i in batch) for batch in batches]
    assert longest != sorted(longest)


def test_padding_is_no_target():
    ids, targets = padded([[5, 9, 1], [7, 1]])
    assert ids.tolist() == [[5, 9], [7, 1]]
    assert targets.tolist() == [[9, 1], [1, IGNORED]]


def loss_of_row(model: Llama, row: list[int]) -> float:
    """-log p of each token given those before it, one position at a time."""
    total = 0.0
    for i in range(1, len(row)):
        logits = (model(torch.tensor([row[:i]])) @ model.head.T)[0, -1]
        total -= float(logits.log_softmax(0)[row[i]])
    return total


@torch.no_grad()
def test_the_loss_is_the_sum_over_rows_without_their_padding():
    model = tiny_llama()
    loss, count = summed_loss(model, ROWS)
    assert float(loss) == pytest.approx(sum(loss_of_row(model, row) for row in ROWS), rel=1e-10)
    assert count == 2 + 4 + 1


@torch.no_grad()
def test_the_held_out_loss_is_a_mean_over_tokens_not_over_rows_or_batches():
    """20 rows, so that a pass of 16 rows leaves another of 4."""
    model = tiny_llama()
    rows = [[2 + (7 * i + j) % 29 for j in range(2 + i % 5)] for i in range(20)]
    losses, counts = [loss_of_row(model, row) for row in rows], [len(row) - 1 for row in rows]
    assert held_out_loss(model, rows) == pytest.approx(sum(losses) / sum(counts), rel=1e-10)
    by_rows = sum(loss / count for loss, count in zip(losses, counts, strict=True)) / 20
    assert abs(by_rows - sum(losses) / sum(counts)) > 1e-3


def test_rows_end_with_eos_and_are_cut():
    short, long = encode(["the fox ran.", "the fox ran. " * 200], TOKENIZER)
    assert short[-1] == 1
    assert short.count(1) == 1
    assert len(long) == LONGEST
    assert 1 not in long


def test_the_shape_has_the_parameters_of_simple_stories():
    """4096 x 128 embeddings; 4 layers of 2 x 128 x 128 + 2 x 128 x 64 attention, 3 x 128 x 341 MLP, 2 x 128 norms; 128."""
    count = 4096 * 128 + 4 * (2 * 128 * 128 + 2 * 128 * 64 + 3 * 128 * 341 + 2 * 128) + 128
    assert sum(parameter.numel() for parameter in Llama(CONFIG).parameters()) == count == 1_245_824


def test_the_shipped_weights_are_of_this_training_and_this_corpus():
    """The held-out loss of 60 of its 2,000 stories: their standard error is 0.02 nats; another corpus, or weights of another
    training, are far off (a uniform guess has 8.3).
    """
    pretrained = load_pretrained("nursery")
    training = json.loads((DATA / "pretraining.json").read_text())
    assert pretrained.model.config == CONFIG
    assert (DATA / "model.safetensors").stat().st_size <= 5_000_000
    assert held_out_loss(pretrained.model, encode(list(stories("test", 60)), pretrained.tokenizer)) == pytest.approx(
        training["held_out_loss"], abs=0.08
    )
