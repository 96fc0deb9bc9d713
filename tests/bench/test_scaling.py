"""The work of a step by hand and against torch's own count; growth by hand; the plot's data."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.scaling import Point, build, fastest, forward_flops, growth, rows_of, run_benchmark, spec
from bench.workloads import widened
from configs.errors import UserError
from tests.helpers import tiny_config, tiny_llama, tiny_tokenizer


def test_work_by_hand():
    """Two sequences of 1 + 2 and 2 + 1 tokens: 6 tokens x 2 x 100 weights, 3 x 2 x 16 x 32 for the head, and attention: 2 x 6
    pairs of positions, 2 layers, 4 heads of 4, two products of 2 operations.
    """
    assert forward_flops(tiny_config(), 100, [1, 2], [2, 1]) == 1_200 + 3_072 + 12 * 2 * 16 * 4


def test_work_is_what_torch_counts_but_for_the_half_of_attention_that_is_masked():
    """Torch counts the scores of all pairs of positions; a causal model needs n (n + 1) / 2 of n^2."""
    model, length = tiny_llama(), 12
    weights = sum(parameter.numel() for parameter in model.model.layers.parameters() if parameter.dim() == 2)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, length, dtype=torch.long)) @ model.head.T
    c = model.config
    masked = 4 * c.num_hidden_layers * c.num_attention_heads * c.head_dim * (length**2 - length * (length + 1) // 2)
    assert forward_flops(c, weights, [0], [length]) + masked == counter.get_total_flops()


def point(work: float, seconds: float, axis: str = "batch", value: int = 1) -> Point:
    return Point(axis, value, work, 10, {"sampling": seconds, "reference": 1.0, "update": 1.0, "step": seconds + 2})


def test_growth_is_the_times_of_the_time_over_the_times_of_the_work():
    """Four times the work: sampling takes four times as long, the reference no longer, the step (2 + 8) / (2 + 2) times."""
    assert growth(point(10, 2.0), point(40, 8.0)) == {"sampling": 1.0, "reference": 0.25, "update": 0.25, "step": 10 / 4 / 4}


def test_rows_begin_anew_with_each_axis():
    rows = rows_of([point(10, 2.0), point(20, 2.0), point(40, 3.0, "layers"), point(40, 6.0, "layers")])
    assert [(row["axis"], row["work"], row["growth"]["sampling"]) for row in rows] == [
        ("batch", 1.0, 1.0), ("batch", 2.0, 0.5), ("layers", 1.0, 1.0), ("layers", 1.0, 2.0)]  # fmt: skip


def test_each_phase_counts_as_fast_as_it_was_once():
    assert fastest([{"update": 9.0, "step": 12.0}, {"update": 3.0, "step": 8.0}, {"update": 4.0, "step": 7.0}]) == {
        "update": 3.0,
        "step": 7.0,
    }


def test_the_plot_has_a_panel_an_axis_and_times_of_the_first_point():
    drawn = spec(rows_of([point(10, 2.0), point(20, 6.0), point(40, 3.0, "layers")]))
    assert [panel["title"] for panel in drawn["concat"]] == ["batch", "layers"]
    sampling = [(row["work"], row["time"]) for row in drawn["datasets"]["curves"] if row["phase"] == "sampling"]
    assert sampling == [(1.0, 1.0), (2.0, 3.0), (1.0, 1.0)]


def test_a_larger_tokenizer_reads_texts_as_before():
    small, large = tiny_tokenizer(54), widened(tiny_tokenizer(54), 200)
    assert large.get_vocab_size() == 200
    assert large.encode("a cab", add_special_tokens=False).ids == small.encode("a cab", add_special_tokens=False).ids


@pytest.mark.parametrize(("axis", "value"), [("batch", 64), ("completion length", 500), ("layers", 5), ("vocabulary", 5_000)])
def test_one_thing_is_another_than_in_nursery_s_default_run(axis: str, value: int):
    run, usual = build(axis, value, "cpu"), build("layers", 4, "cpu")
    grown = {
        "batch": run.config.batch_size,
        "completion length": run.config.sampling.max_completion_length,
        "layers": run.policy.config.num_hidden_layers,
        "vocabulary": run.policy.config.vocab_size,
    }
    assert grown == {"batch": 32, "completion length": 128, "layers": 4, "vocabulary": 4_096} | {axis: value}
    shape = {"num_hidden_layers": 4, "vocab_size": 4_096}
    assert replace(run.policy.config, **shape) == replace(usual.policy.config, **shape)


def test_an_unknown_axis_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="--axes heads: accepted are batch, completion length, layers, vocabulary"):
        run_benchmark(["--axes", "heads", "--output", str(tmp_path / "plot.png")])
