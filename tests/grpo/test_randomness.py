"""Draws are functions of their key. The statistical tests have fixed keys; each states what it would find."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from grpo.randomness import SampleKeys, generator, group_keys, torch_generator

ALPHA = 1e-3  # p-value below which a statistical test speaks


def uniforms(prompts, generations, length=1, seed=0, purpose="training sample", step=0):
    return SampleKeys(seed, step, prompts, generations).uniforms(purpose, length)


def test_the_draws_of_a_seed_are_the_same_for_ever():
    """Frozen: whoever changes these values changes every run of every seed."""
    expected = [
        [0.7542286008610187, 0.14224606743300106, 0.35510584195750017],
        [0.9931731703851692, 0.23092605760827212, 0.5869940062541029],
        [0.5242879753753658, 0.03712794805927322, 0.057587301765107735],
    ]
    drawn = SampleKeys(42, 7, prompts=[3, 3, 9], generations=[0, 1, 0]).uniforms("training sample", length=3)
    assert drawn.dtype == torch.float64
    assert drawn.tolist() == expected
    assert generator(42, "training sample", 0, 0, 0).random(2).tolist() == [0.9469821154845716, 0.5461725310934602]
    assert generator(1, "prompt order").permutation(8).tolist() == [2, 1, 7, 6, 4, 3, 5, 0]
    assert torch_generator(42, "adapters").initial_seed() == 4456302882770199606


def test_a_row_depends_on_its_key_and_not_on_the_other_rows():
    keys = list(itertools.product(range(4), range(3)))
    alone = {key: uniforms([key[0]], [key[1]], length=5)[0] for key in keys}
    for order in (keys, keys[::-1], keys[5:7], [keys[2]] * 3):
        for key, row in zip(order, uniforms(*zip(*order, strict=True), length=5), strict=True):
            assert torch.equal(row, alone[key])


def test_a_longer_row_begins_with_the_shorter_one():
    assert torch.equal(uniforms([1, 2], [0, 3], length=200)[:, :7], uniforms([1, 2], [0, 3], length=7))


def test_draws_neither_read_nor_move_the_global_generators():
    np.random.seed(1)  # noqa: NPY002 - the global generator is what this is about
    torch.manual_seed(1)
    states = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    first = uniforms([0, 1], [0, 0], length=3), torch.rand(3, generator=torch_generator(0, "preflight"))
    assert np.array_equal(states[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(states[1], torch.get_rng_state())
    np.random.seed(2)  # noqa: NPY002
    torch.manual_seed(2)
    second = uniforms([0, 1], [0, 0], length=3), torch.rand(3, generator=torch_generator(0, "preflight"))
    assert all(map(torch.equal, first, second))


KEYS = {  # each differs from the first in one part, or in where the parts end
    "as it is": (1, "training sample", 1, 23, 4),
    "seed": (2, "training sample", 1, 23, 4),
    "purpose": (1, "evaluation sample", 1, 23, 4),
    "step": (1, "training sample", 2, 23, 4),
    "prompt": (1, "training sample", 1, 24, 4),
    "generation": (1, "training sample", 1, 23, 5),
    "digits moved left": (1, "training sample", 12, 3, 4),
    "digits moved right": (1, "training sample", 1, 2, 34),
    "numbers exchanged": (1, "training sample", 1, 4, 23),
    "sign": (1, "training sample", 1, 23, -4),
    "seed and step exchanged": (23, "training sample", 1, 1, 4),
    "one number fewer": (1, "training sample", 1, 23),
    "one number more": (1, "training sample", 1, 23, 4, 0),
    "a seed beyond 64 bits": (1 + 2**64, "training sample", 1, 23, 4),
}


def test_keys_that_differ_anywhere_draw_differently():
    """Different keys share not one of their first 50 values: by chance two of all 700 agree with probability 3e-11."""
    drawn = {name: generator(*key).random(50) for name, key in KEYS.items()}
    for one, other in itertools.combinations(drawn, 2):
        assert not np.intersect1d(drawn[one], drawn[other]).size, (one, other)
    seeds = {torch_generator(*key).initial_seed() for key in KEYS.values()}
    assert len(seeds) == len(KEYS)


def test_an_order_drawn_from_a_seed_is_a_permutation_that_differs_by_seed():
    orders = [tuple(generator(seed, "prompt order").permutation(50)) for seed in range(20)]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len(set(orders)) == 20


@pytest.mark.parametrize(
    ("prompts", "generations"),
    [(range(4000), [0] * 4000), ([7] * 4000, range(4000))],
    ids=["one token of each prompt", "one token of each generation"],
)
def test_uniforms_of_neighbouring_keys_are_uniform_together(prompts, generations):
    """Kolmogorov-Smirnov over 4,000 keys finds a deviation of the distribution function by 0.05 almost surely
    (mean deviation 0.05 against a critical 0.031); moments within 4 standard errors: 1/sqrt(12 N) and 1/sqrt(180 N).
    """
    drawn = uniforms(list(prompts), list(generations), length=2).numpy()
    for column in drawn.T:
        assert stats.kstest(column, "uniform").pvalue > ALPHA
        assert stats.kstest(column * 0.95, "uniform").pvalue < ALPHA
        assert abs(column.mean() - 1 / 2) < 4 / np.sqrt(12 * len(column))
        assert abs((column**2).mean() - 1 / 3) < 4 * np.sqrt(4 / 45 / len(column))
    assert drawn.min() >= 0
    assert drawn.max() < 1


@pytest.mark.parametrize("pairing", ["next key", "next token"])
def test_uniforms_are_independent_of_those_before(pairing):
    """Chi-square over an 8 x 8 grid of 12,800 pairs, 200 a cell; it finds a correlation of 0.08 (shown by mixing it in)."""
    drawn = uniforms([0] * 12_801, list(range(12_801)), length=2).numpy()
    first, second = (drawn[:-1, 0], drawn[1:, 0]) if pairing == "next key" else (drawn[1:, 0], drawn[1:, 1])

    def grid_pvalue(one, other):
        counts = np.histogram2d(one, other, bins=8, range=[[0, 1], [0, 1]])[0]
        return stats.chisquare(counts.ravel()).pvalue

    assert grid_pvalue(first, second) > ALPHA
    copied = np.arange(len(first)) % 12 == 0  # one pair in twelve equal: correlation 0.083
    assert grid_pvalue(first, np.where(copied, first, second)) < ALPHA


def test_the_keys_of_groups_number_each_prompts_generations():
    assert group_keys(42, 7, [5, 3], 3) == SampleKeys(42, 7, [5, 5, 5, 3, 3, 3], [0, 1, 2, 0, 1, 2])


def test_prompts_and_generations_must_pair_up():
    with pytest.raises(ValueError, match="shorter"):
        uniforms([0, 1], [0])
