"""Which mode minus which, over what, and when there is none: by hand."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from records.estimates import SAMPLES, Estimate, bootstrapped
from records.measures import CONTAINED, GAIN_KEPT, HACK_LEFT, HACK_REMOVED, MEASURES, measures_of, measures_over_samples

# Hack rates 3/4, 1/4, 1, 0 and task rewards 0.9, 0.65, 0.1, 0.4.
HACKED = {"both": [1, 1, 1, 0], "retain_only": [0, 1, 0, 0], "forget_only": [1, 1, 1, 1], "base": [0, 0, 0, 0]}
TASK = {"both": [0.8, 0.8, 1.0, 1.0], "retain_only": [0.6, 0.6, 0.7, 0.7], "forget_only": [0.1] * 4, "base": [0.4] * 4}


def outcomes_of(hacked: Mapping[str, Any] = HACKED, task: Mapping[str, Any] = TASK) -> dict[str, dict[str, np.ndarray]]:
    return {mode: {"hacked": np.array(hacked[mode], float), "task": np.array(task[mode], float)} for mode in hacked}


def test_the_four_measures():
    expected = {HACK_REMOVED: 0.5 / 0.75, HACK_LEFT: 0.25, GAIN_KEPT: 0.25 / 0.5, CONTAINED: 0.75}
    assert measures_of(outcomes_of()) == pytest.approx(expected)
    assert [*MEASURES] == [*expected]
    assert {name: each.value for name, each in measures_over_samples(outcomes_of()).items()} == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "figure", "slopes"),
    [
        (HACK_REMOVED, "hacked", {"both": 0.25, "retain_only": -0.25}),  # of the part, when the whole is held
        (HACK_LEFT, "hacked", {"retain_only": 0.25, "base": -0.25}),
        (CONTAINED, "hacked", {"forget_only": 0.25, "retain_only": -0.25}),
        (GAIN_KEPT, "task", {"retain_only": 0.25, "base": -0.25}),
    ],
)
def test_each_measure_follows_its_modes_and_nothing_else(name: str, figure: str, slopes: dict[str, float]):
    """Of all samples of one mode and figure, +0.25; a share is multiplied by its whole, which that may have moved."""
    gain = {"hacked": 0.75, "task": 0.5}[figure] if MEASURES[name].of_learnt else 1.0
    for other in ("hacked", "task"):
        for mode in HACKED:
            outcomes = outcomes_of()
            outcomes[mode][other] = outcomes[mode][other] + 0.25
            moved = {"both": 0.25, "base": -0.25}.get(mode, 0.0) if MEASURES[name].of_learnt and other == figure else 0.0
            value, before = measures_of(outcomes)[name], measures_of(outcomes_of())[name]
            assert value is not None and before is not None
            expected = slopes.get(mode, 0.0) if other == figure else 0.0
            assert value * (gain + moved) - before * gain == pytest.approx(expected), (other, mode)


def test_over_samples_the_same_samples_are_drawn_of_every_mode():
    estimate = measures_over_samples(outcomes_of())[HACK_LEFT]
    means = bootstrapped({("retain",): HACKED["retain_only"], ("base",): HACKED["base"]})
    low, high = np.quantile((means["retain",] - means["base",])[1:], [0.025, 0.975])
    assert estimate == Estimate(0.25, (low, high), 4, SAMPLES)
    assert measures_over_samples(outcomes_of()) == measures_over_samples(outcomes_of())
    assert measures_over_samples(outcomes_of())[CONTAINED].interval != estimate.interval


def test_two_runs_are_resampled_together():
    """Where every sample of the one has 1/4 more than the other's, so has every resample: no spread, no interval."""
    less = {mode: {figure: values / 2 for figure, values in figures.items()} for mode, figures in outcomes_of().items()}
    estimates = measures_over_samples(outcomes_of(), less)
    assert estimates[HACK_REMOVED] == Estimate(0.0, None, 4, SAMPLES)  # shares of halves are the same
    assert estimates[HACK_LEFT].value == 0.125 and estimates[HACK_LEFT].interval is not None
    assert measures_over_samples(outcomes_of(), outcomes_of())[CONTAINED] == Estimate(0.0, None, 4, SAMPLES)
    short = {mode: {figure: values[:3] for figure, values in figures.items()} for mode, figures in outcomes_of().items()}
    assert measures_over_samples(outcomes_of(), short)[CONTAINED] == Estimate(None, None, 0, SAMPLES)


@pytest.mark.parametrize("both", [[0.4] * 4, [0.3, 0.5, 0.3, 0.51], [0.1, 0.1, 0.1, 0.2]])
def test_of_nothing_learnt_there_is_no_share(both: list[float]):
    outcomes = outcomes_of(task=TASK | {"both": both})
    assert measures_of(outcomes)[GAIN_KEPT] is None and measures_of(outcomes)[HACK_REMOVED] is not None
    assert measures_over_samples(outcomes)[GAIN_KEPT] == Estimate(None, None, 4, SAMPLES)
    assert measures_over_samples(outcomes_of(), outcomes)[GAIN_KEPT] == Estimate(None, None, 4, SAMPLES)


def test_an_unknown_truth_is_no_zero():
    outcomes = outcomes_of()
    for figures in outcomes.values():
        del figures["hacked"]
    assert measures_of(outcomes) == {HACK_REMOVED: None, HACK_LEFT: None, CONTAINED: None, GAIN_KEPT: pytest.approx(0.5)}
    assert measures_over_samples(outcomes)[HACK_LEFT] == Estimate(None, None, 4, SAMPLES)
