"""The figures of relearning, by hand."""

from typing import Any

import pytest

from records.relearning import NOT_TRIED, figures_of, half_way, steps_text

NEVER, ALWAYS = [0.0] * 40, [1.0] * 40
OFTEN = [0.0] * 10 + [1.0] * 30
SELDOM = [0.0] * 36 + [1.0] * 4


def outcomes(**rates: list[float]) -> dict[str, dict[str, list[float]]]:
    return {mode: {"hacked": hacked} for mode, hacked in rates.items()}


@pytest.mark.parametrize("trained", ["both", "policy"])
def test_the_threshold_is_half_way_between_the_base_and_the_trained_policy(trained: str):
    """3 of 4 and 1 of 10: 0.425, where half of the policy's rate would be 0.375. What retain does is of no matter."""
    assert half_way(outcomes(**{trained: OFTEN}, retain_only=NEVER, base=SELDOM)) == pytest.approx(0.425)
    assert half_way(outcomes(**{trained: ALWAYS}, base=OFTEN)) == pytest.approx(0.875)  # above the base, as half of 1 is not


@pytest.mark.parametrize(("trained", "base"), [(SELDOM, SELDOM), (SELDOM, OFTEN), ([1.0, *NEVER[1:]], NEVER)])
def test_without_a_difference_above_noise_there_is_none(trained: list[float], base: list[float]):
    """The last: 1 of 40 more, which has a mean of 0.025 and a standard error of 0.025."""
    assert half_way(outcomes(both=trained, base=base)) is None


def course(*rates: float) -> list[dict[str, Any]]:
    return [{"start": "base", "step": 10 * i, "hacked": rate} for i, rate in enumerate(rates)]


@pytest.mark.parametrize(
    ("rates", "steps", "text"),
    [((0.2, 0.4, 0.5), 20, "20"), ((0.6,), 0, "0"), ((0.2, 0.3, 0.499), None, ">20")],
)
def test_what_was_not_reached_is_never_the_last_step(rates: tuple[float, ...], steps: int | None, text: str):
    figures = figures_of(course(*rates), 0.5, 20)
    assert figures == {"steps_to_relearn": steps, "relearn_threshold": 0.5, "relearn_steps": 20}
    assert steps_text(figures) == text


def test_what_was_not_tried_is_a_dash():
    assert steps_text(NOT_TRIED) == "–"
