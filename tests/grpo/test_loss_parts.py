"""The policy loss of a batch in parts, and what stands under its mask; in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from grpo.loss import loss_denominator, ratio_figures
from grpo.loss_terms import LOSS_TYPES
from tests.grpo.losses import ESTIMATORS, LIMIT, Inputs, evaluate, random_inputs
from tests.helpers import pairwise

# ---- Partition invariance ----


def split_sum(parts: list[Inputs], **options) -> tuple[Tensor, list[Tensor]]:
    """The sums over parts of [loss, policy, kl], and each part's gradient."""
    results = [evaluate(part, **options) for part in parts]
    figures = torch.stack([torch.stack((result.loss.detach(), result.policy, result.kl)) for result, _ in results])
    return figures.sum(0), [gradient for _, gradient in results]


def padded(inputs: Inputs, columns: int) -> Inputs:
    """More columns, of garbage under the mask."""
    rows = len(inputs.mask)
    garbage = torch.full((rows, columns), math.nan, dtype=torch.float64)
    values = [torch.cat((tensor, garbage), 1) for tensor in inputs[:3]]
    return Inputs(*values, inputs.advantages, torch.cat((inputs.mask, torch.zeros(rows, columns).bool()), 1))


@pytest.mark.parametrize(("kl_estimator", "kl_corrected"), ESTIMATORS)
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(
    lengths=st.lists(st.integers(0, 5), min_size=2, max_size=8).filter(any),
    assignment=st.lists(st.integers(0, 3), min_size=8, max_size=8),
    shuffle=st.randoms(use_true_random=False),
    padding=st.integers(0, 3),
    seed=st.integers(0, 1000),
)
def test_parts_add_up_to_the_whole(loss_type, kl_estimator, kl_corrected, lengths, assignment, shuffle, padding, seed):
    """Whatever the split, the order of rows and the padding, for loss, policy part, KL part and gradients."""
    options = {"loss_type": loss_type, "kl_estimator": kl_estimator, "kl_corrected": kl_corrected, "beta": 0.3}
    whole = random_inputs(seed, lengths, 5)
    result, gradient = evaluate(whole, max_completion_length=LIMIT, **options)

    denominator = loss_denominator(whole.mask, loss_type, LIMIT)
    order = shuffle.sample(range(len(lengths)), len(lengths))
    parts = [selected for part in range(4) if (selected := [row for row in order if assignment[row] == part])]
    figures, gradients = split_sum([padded(whole.rows(rows), padding) for rows in parts], denominator=denominator, **options)

    assert_close(figures, torch.stack((result.loss.detach(), result.policy, result.kl)), rtol=1e-13, atol=1e-14)
    for rows, part_gradient in zip(parts, gradients, strict=True):
        assert_close(part_gradient[:, :5], gradient[rows], rtol=1e-13, atol=1e-15)
        assert torch.equal(part_gradient[:, 5:], torch.zeros(len(rows), padding, dtype=torch.float64))


def test_parts_with_denominators_of_their_own_do_not_add_up():
    """What the shared denominator is for: of uneven parts each one's own mean would count its rows for more."""
    whole = random_inputs(5, [4, 2, 3], 4)
    for loss_type in LOSS_TYPES:
        result, _ = evaluate(whole, loss_type=loss_type, max_completion_length=LIMIT)
        figures, _ = split_sum([whole.rows([0]), whole.rows([1, 2])], loss_type=loss_type, max_completion_length=LIMIT)
        assert abs(figures[0] - result.loss).item() > 0.01


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_truncated_rows_masked_out_give_nothing_and_still_count(loss_type):
    """The kept rows' loss and gradients are those they have in the whole; the denominator is the whole's."""
    whole = random_inputs(11, [3, 5, 2, 5], 5)
    truncated = torch.tensor([False, True, False, True])
    denominator = loss_denominator(whole.mask, loss_type, LIMIT)
    options = {"loss_type": loss_type, "beta": 0.1, "denominator": denominator}
    result, gradient = evaluate(whole._replace(mask=whole.mask & ~truncated[:, None]), **options)
    kept, kept_gradient = evaluate(whole.rows(~truncated), **options)
    _, whole_gradient = evaluate(whole, **options)
    assert_close(result.loss, kept.loss, rtol=1e-14, atol=0)
    assert_close(gradient[~truncated], kept_gradient, rtol=0, atol=0)
    assert_close(gradient[~truncated], whole_gradient[~truncated], rtol=0, atol=0)
    assert torch.equal(gradient[truncated], torch.zeros(2, 5, dtype=torch.float64))
    assert result.tokens == kept.tokens == 5


@pytest.mark.parametrize(("loss_type", "share"), [("grpo", 1 / 2), ("dr_grpo", 1 / 2)])
def test_masked_rows_count_without_a_denominator_given(loss_type, share):
    # 2 of 4 rows are masked out: the loss is half of what it is for the other 2 alone.
    whole = random_inputs(12, [3, 0, 2, 0], 3)
    result, _ = evaluate(whole, loss_type=loss_type, max_completion_length=LIMIT)
    alone, _ = evaluate(whole.rows([0, 2]), loss_type=loss_type, max_completion_length=LIMIT)
    assert result.loss.item() == pytest.approx(alone.loss.item() * share, rel=1e-14)


@pytest.mark.parametrize("rows", [0, 2])
@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_a_part_without_tokens_has_no_loss_and_no_ratios(loss_type, rows):
    result, gradient = evaluate(random_inputs(0, [0] * rows, 3), loss_type=loss_type, beta=0.1, denominator=4.0)
    assert (result.loss.item(), result.policy.item(), result.kl.item()) == (0, 0, 0)
    with pytest.raises(ValueError, match="no token is in the loss"):
        ratio_figures(torch.ones(0), torch.ones(0), 0.2, 0.2)
    assert torch.equal(gradient, torch.zeros(rows, 3, dtype=torch.float64))


# ---- What stands under the mask ----


@pytest.mark.parametrize(
    ("estimator", "where", "garbage"),
    pairwise(ESTIMATORS, ["logprobs", "old", "ref", "all"], [math.nan, math.inf, -math.inf, 1e30, -1e30]),
)
def test_garbage_under_the_mask_changes_nothing(estimator, where, garbage):
    options = {"beta": 0.3, "kl_estimator": estimator[0], "kl_corrected": estimator[1], "max_completion_length": LIMIT}
    clean = random_inputs(2, [3, 0, 4, 1], 4)
    names = ("logprobs", "old", "ref") if where == "all" else (where,)
    dirty = clean._replace(**{name: getattr(clean, name).masked_fill(~clean.mask, garbage) for name in names})
    for loss_type in LOSS_TYPES:
        expected_result, expected_gradient = evaluate(clean, loss_type=loss_type, **options)
        result, gradient = evaluate(dirty, loss_type=loss_type, **options)
        assert result == expected_result  # every figure, to the last bit
        assert torch.equal(gradient, expected_gradient)
        assert torch.equal(gradient[~clean.mask], torch.zeros(8, dtype=torch.float64))


def test_garbage_in_a_token_that_counts_is_not_hidden():
    inputs = random_inputs(2, [3, 0, 4, 1], 4)
    inputs.logprobs[0, 2] = math.nan
    result, gradient = evaluate(inputs)
    assert result.loss.isnan() and gradient[0, 2].isnan()
