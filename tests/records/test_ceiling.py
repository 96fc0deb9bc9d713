"""Which modes would be deployed, and what a run is worth beside its ceiling: by hand."""

from typing import Any

import numpy as np
import pytest

from records.ceiling import CEILING_MEASURES, CEILING_SHARE, HACK_OVER_CEILING, against_ceiling, deployed_modes
from records.measures import HACK_LEFT

DUAL = ["both", "retain_only", "forget_only", "base"]


@pytest.mark.parametrize(
    ("kind", "modes", "deployed"),
    [
        ("routed", DUAL, ["retain_only"]),
        ("unrouted", DUAL, ["both", "retain_only"]),
        ("filter", DUAL, ["both", "retain_only"]),
        ("reward_penalty", DUAL, ["both", "retain_only"]),
        ("unhackable", DUAL, ["both"]),
        ("unhackable", ["policy", "base"], ["policy"]),
        ("lora", ["policy", "base"], ["policy"]),
        ("filter", ["policy", "base"], ["policy"]),
        ("full", ["policy", "base"], ["policy"]),
        ("routed", ["both", "base"], []),
        ("unrouted", ["both", "base"], ["both"]),
    ],
)
def test_the_modes_that_would_be_deployed(kind: str, modes: list[str], deployed: list[str]):
    assert deployed_modes(kind, modes) == deployed


def outcomes(**modes: tuple[list[int], list[float]]) -> dict[str, dict[str, Any]]:
    return {mode: {"hacked": np.array(hacked, float), "task": np.array(task)} for mode, (hacked, task) in modes.items()}


# Hack rates 0.5, 0.25 and task rewards 0.6, 0.4; the ceiling's 0.75, 0.25 and 0.8, 0.3.
RUN = outcomes(retain_only=([1, 1, 0, 0], [0.5, 0.7, 0.6, 0.6]), base=([1, 0, 0, 0], [0.4] * 4))
CEILING = outcomes(both=([1, 1, 1, 0], [0.8] * 4), base=([1, 0, 0, 0], [0.3] * 4))


def test_each_measure_has_its_own_minuend_and_subtrahend():
    expected = {HACK_LEFT: 0.5 - 0.25, HACK_OVER_CEILING: 0.5 - 0.75, CEILING_SHARE: (0.6 - 0.4) / (0.8 - 0.3)}
    assert against_ceiling(RUN, "retain_only", CEILING) == pytest.approx(expected)
    assert [*CEILING_MEASURES] == [*expected]


def test_a_ceiling_without_two_adapters_is_its_policy():
    single = {"policy": CEILING["both"], "base": CEILING["base"]}
    assert against_ceiling(RUN, "retain_only", single) == against_ceiling(RUN, "retain_only", CEILING)


def test_there_is_no_share_of_a_gain_within_its_noise():
    """0.5 in two of four samples more and in one less is 0.125 with a standard error of 0.24."""
    noise = CEILING | outcomes(both=([1, 1, 1, 0], [0.8, 0.8, -0.2, 0.3]))
    values = against_ceiling(RUN, "retain_only", noise)
    assert values[CEILING_SHARE] is None and values[HACK_OVER_CEILING] == -0.25


@pytest.mark.parametrize(("whose", "mode"), [("run", "retain_only"), ("run", "base"), ("ceiling", "both"), ("ceiling", "base")])
def test_what_is_not_known_is_none(whose: str, mode: str):
    both = {"run": dict(RUN), "ceiling": dict(CEILING)}
    both[whose][mode] = {"hacked": np.zeros(4)}
    assert against_ceiling(both["run"], "retain_only", both["ceiling"])[CEILING_SHARE] is None
    both[whose][mode] = {"task": np.full(4, 0.5)}
    values = against_ceiling(both["run"], "retain_only", both["ceiling"])
    of_run = {"retain_only": [HACK_LEFT, HACK_OVER_CEILING], "base": [HACK_LEFT]}
    of_ceiling = {"both": [HACK_OVER_CEILING], "base": []}
    missing = (of_run if whose == "run" else of_ceiling)[mode]
    assert [name for name in (HACK_LEFT, HACK_OVER_CEILING) if values[name] is None] == missing
