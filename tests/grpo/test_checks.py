"""What stops a run, and that the message names step, tensor, number and prompt."""

import pytest
import torch

from envs.types import Prompt
from grpo.checks import LARGEST_LOGP_DIFFERENCE, BrokenInvariant, check_finite, check_sampling_logprobs

NAN, INF = float("nan"), float("inf")
PROMPTS = [Prompt(5, "once there", (7, 8)), Prompt(9, "a cat's", (9, 8))]


@pytest.mark.parametrize(
    ("values", "prompts", "message"),
    [
        (NAN, None, "step 7: loss is nan (1 not finite)"),
        (-INF, None, "step 7: loss is -inf (1 not finite)"),
        ([1.0, NAN], PROMPTS, 'step 7: loss[1] is nan (1 not finite), prompt 9 "a cat\'s"'),
        ([INF, NAN], PROMPTS, "step 7: loss[0] is inf (2 not finite), prompt 5 'once there'"),
        ([[0.0, 1.0], [2.0, -INF]], PROMPTS, 'step 7: loss[1, 1] is -inf (1 not finite), prompt 9 "a cat\'s"'),
        ([[0.0, 1.0], [2.0, NAN]], None, "step 7: loss[1, 1] is nan (1 not finite)"),
    ],
)
def test_what_is_not_finite_is_named(values, prompts, message: str):
    with pytest.raises(BrokenInvariant) as error:
        check_finite("loss", torch.tensor(values), 7, prompts)
    assert str(error.value) == message


@pytest.mark.parametrize("values", [0.0, [], [3.4e38, -3.4e38], [[1.0]]])
def test_finite_numbers_pass(values):
    check_finite("loss", torch.tensor(values), 7, PROMPTS)


def differences(largest: float) -> torch.Tensor:
    """In the second row; the first has more in sum."""
    return torch.tensor([[4e-4, 4e-4, 4e-4, 4e-4], [0.0, 0.0, largest, 0.0]], dtype=torch.float64)


def test_rounding_between_sampler_and_scorer_passes():
    check_sampling_logprobs(differences(LARGEST_LOGP_DIFFERENCE), 7, PROMPTS)


@pytest.mark.parametrize("difference", [1.001e-3, INF, NAN])
def test_more_than_rounding_between_sampler_and_scorer_stops_with_the_prompt(difference: float):
    with pytest.raises(BrokenInvariant) as error:
        check_sampling_logprobs(differences(difference), 7, PROMPTS)
    assert str(error.value) == (
        f'step 7: sampling and training log-probabilities differ by {difference:.3g} nats, more than 0.001, prompt 9 "a cat\'s"'
    )
