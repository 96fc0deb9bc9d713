"""Group-normalised advantages against hand arithmetic and a slow form on Python's `statistics`; in float64."""

import statistics
from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from grpo.advantages import SCALES, group_advantages

QUICK = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def floats(values: list[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# Two groups of four. Group 1: mean 1/2, squares 4 x 1/4, std (1/3)^(1/2) with Bessel's 3 (1/2 without).
# Group 2: mean 3, deviations -2 -1 0 3, squares 14, std (14/3)^(1/2) = 2.1602.
# Batch: mean 14/8 = 7/4, squares 52 - 8 x 49/16 = 27.5, std (27.5/7)^(1/2) = 1.9821.
HAND_REWARDS = [0.0, 1.0, 0.0, 1.0, 1.0, 2.0, 3.0, 6.0]
HAND_CENTRED = [-0.5, 0.5, -0.5, 0.5, -2.0, -1.0, 0.0, 3.0]
HAND_DIVISORS = {
    "group": [(1 / 3) ** 0.5 + 1e-4] * 4 + [(14 / 3) ** 0.5 + 1e-4] * 4,
    "batch": [(27.5 / 7) ** 0.5 + 1e-4] * 8,
    "none": [1.0] * 8,
}


@pytest.mark.parametrize("scale", SCALES)
def test_by_hand(scale):
    result = group_advantages(floats(HAND_REWARDS), 4, scale)
    assert_close(result, floats(HAND_CENTRED) / floats(HAND_DIVISORS[scale]), rtol=0, atol=1e-14)


def test_groups_of_two_are_worth_one_over_the_square_root_of_two():
    # Deviations -1/2 and 1/2, squares 1/2 by Bessel's 1: std (1/2)^(1/2) = 0.70711, so 0.5 / 0.70721 = 0.70701.
    result = group_advantages(floats([0.0, 1.0, 5.0, 5.0]), 2)
    value = 0.5 / (0.5**0.5 + 1e-4)
    assert result.tolist() == pytest.approx([-value, value, 0, 0], abs=1e-14)


def test_the_scale_is_the_group_by_default():
    assert torch.equal(group_advantages(floats(HAND_REWARDS), 4), group_advantages(floats(HAND_REWARDS), 4, "group"))


# In each of these the mean is rounded, so that neither the deviations nor their root mean square are zero.
@pytest.mark.parametrize(
    ("reward", "size", "dtype"),
    [
        (0.1, 3, torch.float64),
        (0.7, 6, torch.float64),
        (1.1, 7, torch.float64),
        (0.1, 7, torch.float32),
        (0.3, 16, torch.float32),
    ],
)
@pytest.mark.parametrize("scale", SCALES)
def test_equal_rewards_whose_mean_is_rounded_give_exact_zeros_and_are_counted(reward, size, dtype, scale):
    equal = torch.full((size,), reward, dtype=dtype)
    assert equal.std() != 0 and (equal - equal.mean()).any()  # the trap is there
    others = torch.arange(size, dtype=dtype)
    result = group_advantages(torch.cat((equal, others, equal, equal)), size, scale)
    advantages = result.view(4, size)
    assert not advantages[[0, 2, 3]].any() and advantages[1].unique().numel() == size


@pytest.mark.parametrize("scale", SCALES)
def test_a_whole_batch_of_one_constant_group_gives_exact_zeros(scale):
    equal = floats([0.1, 0.1, 0.1])
    assert equal[None].std(1) > 0  # rounded here too, where in a batch of several groups it is not
    result = group_advantages(equal, 3, scale)
    assert result.tolist() == [0, 0, 0]


@pytest.mark.parametrize("spread", [2.0**-50, 1e-200])
def test_almost_equal_rewards_are_not_constant(spread):
    """Even where the squares of their deviations, 1e-400, underflow to a standard deviation of zero."""
    base = 0.1 if spread > 1e-100 else 0.0
    assert group_advantages(floats([base, base, base + spread]), 3)[2] > 0


@pytest.mark.parametrize(("count", "size"), [(5, 2), (3, 4), (4, 1), (4, 0), (4, -2), (7, 3), (0, 4)])
def test_rewards_that_do_not_form_whole_groups_are_refused(count, size):
    with pytest.raises(ValueError, match=f"{count} rewards do not form groups of {size}"):
        group_advantages(torch.zeros(count), size)


def test_unknown_scale_is_refused():
    with pytest.raises(ValueError, match="scale 'token': accepted are group, batch, none"):
        group_advantages(floats([0.0, 1.0]), 2, "token")


def slow_advantages(rewards: list[float], size: int, scale: str) -> list[float]:
    """Group by group, in `statistics`' exact arithmetic."""
    advantages = []
    for start in range(0, len(rewards), size):
        group = rewards[start : start + size]
        divisor = {"group": statistics.stdev(group) + 1e-4, "batch": statistics.stdev(rewards) + 1e-4, "none": 1.0}[scale]
        equal = max(group) == min(group)
        advantages += [0.0 if equal else (reward - statistics.mean(group)) / divisor for reward in group]
    return advantages


reward = st.one_of(st.sampled_from([0.0, 1.0, 0.1, 0.7]), st.floats(-50, 50, width=32), st.integers(-3, 3).map(float))
# Groups of one size; some of them of a single value.
grouped_rewards = st.integers(2, 6).flatmap(
    lambda size: st.lists(
        st.one_of(st.lists(reward, min_size=size, max_size=size), reward.map(lambda value: [value] * size)),
        min_size=1,
        max_size=4,
    )
)


@QUICK
@given(groups=grouped_rewards, scale=st.sampled_from([*SCALES]))
def test_equals_the_slow_form(groups, scale):
    size, rewards = len(groups[0]), [*chain.from_iterable(groups)]
    result = group_advantages(floats(rewards), size, scale)
    assert result.tolist() == pytest.approx(slow_advantages(rewards, size, scale), rel=1e-9, abs=1e-9)
    equal = [len(set(group)) == 1 for group in groups]
    assert all(value == 0 for value, same in zip(result.view(-1, size), equal, strict=True) if same for value in value)


@QUICK
@given(groups=grouped_rewards, shift=st.floats(-100, 100), scale=st.sampled_from([*SCALES]))
def test_a_shift_of_all_rewards_changes_nothing(groups, shift, scale):
    size, rewards = len(groups[0]), floats([*chain.from_iterable(groups)])
    shifted = group_advantages(rewards + shift, size, scale)
    assert_close(shifted, group_advantages(rewards, size, scale), rtol=1e-8, atol=1e-8)


@QUICK
@given(
    groups=grouped_rewards, shifts=st.lists(st.integers(-9, 9), min_size=4, max_size=4), scale=st.sampled_from(["group", "none"])
)
def test_a_shift_of_each_group_changes_nothing_unless_the_batch_scales(groups, shifts, scale):
    size, rewards = len(groups[0]), floats([*chain.from_iterable(groups)])
    shift = floats([float(value) for value in shifts[: len(groups)]]).repeat_interleave(size)
    assert_close(
        group_advantages(rewards + shift, size, scale),
        group_advantages(rewards, size, scale),
        rtol=1e-8,
        atol=1e-8,
    )


def test_the_batch_scale_sees_other_groups_and_the_group_scale_does_not():
    # The second group's spread, tenfold or not, is the batch's business alone.
    narrow, wide = floats([0, 1, 0, 1]), floats([0, 1, 0, 10])
    for scale, alike in (("group", True), ("none", True), ("batch", False)):
        first, second = (group_advantages(rewards, 2, scale)[:2] for rewards in (narrow, wide))
        assert torch.equal(first, second) == alike


@QUICK
@given(groups=grouped_rewards, scale=st.sampled_from([*SCALES]), shuffle=st.randoms(use_true_random=False))
def test_the_order_of_groups_and_within_them_is_carried_along(groups, scale, shuffle):
    size, rewards = len(groups[0]), floats([*chain.from_iterable(groups)])
    blocks = [shuffle.sample(range(start, start + size), size) for start in range(0, len(rewards), size)]
    order = [*chain.from_iterable(shuffle.sample(blocks, len(blocks)))]
    expected = group_advantages(rewards, size, scale)[order]
    assert_close(group_advantages(rewards[order], size, scale), expected, rtol=1e-9, atol=1e-9)


@QUICK
@given(groups=grouped_rewards, scale=st.sampled_from([*SCALES]))
def test_each_group_sums_to_zero_and_keeps_the_order_of_its_rewards(groups, scale):
    size, rewards = len(groups[0]), floats([*chain.from_iterable(groups)])
    advantages = group_advantages(rewards, size, scale).view(-1, size)
    assert advantages.sum(1).abs().max() < 1e-9
    for group, row in zip(groups, advantages.tolist(), strict=True):
        order = sorted(range(size), key=lambda i: group[i])
        assert [row[i] for i in order] == sorted(row)
