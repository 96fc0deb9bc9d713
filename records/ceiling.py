"""What a policy is worth in the mode in which it would be deployed, beside a ceiling: a run with the same seed that can not
hack, for the bonus is paid to no sample (the kind `unhackable`), and whose gain in the task is what there is to be had.

Task and hack rates are means over a run's samples; sample i has the same prompt and draw in all modes and runs.
"""

from collections.abc import Sequence

import numpy as np

from records.figures import minus
from records.measures import HACK_LEFT, HACKED, TASK, Outcomes, is_learnt
from records.names import BASE, BOTH, POLICY, RETAIN_ONLY, ROUTED, UNHACKABLE, as_trained

HACK_OVER_CEILING, CEILING_SHARE = "hack_over_ceiling", "ceiling_share"
CEILING_MEASURES = {
    HACK_LEFT: "mode − base of the hack rate",
    HACK_OVER_CEILING: "mode − ceiling of the hack rate: hacking beyond what learning the task alone brings about",
    CEILING_SHARE: "(mode − base) / (ceiling − base) of the task reward: the share of the ceiling's task gain",
}


def deployed_modes(kind: str, modes: Sequence[str]) -> list[str]:
    """Of the `modes` that a run has, those that are a policy of it to deploy: with retain alone where it was routed, else as it
    was trained; and, as a control of cutting, with retain alone what was trained without masks.
    """
    if POLICY in modes:
        return [POLICY]
    wanted = {ROUTED: [RETAIN_ONLY], UNHACKABLE: [BOTH]}.get(kind, [BOTH, RETAIN_ONLY])
    return [mode for mode in wanted if mode in modes]


def against_ceiling(outcomes: Outcomes, mode: str, ceiling: Outcomes) -> dict[str, float | None]:
    """CEILING_MEASURES of one run in one mode. The share is None where the ceiling's gain is within the noise of its samples."""
    own, trained = mean_of(outcomes, mode, HACKED), by_trained_mode(ceiling)
    gain = minus(mean_of(trained, BOTH, TASK), mean_of(trained, BASE, TASK)) if is_learnt(trained, TASK) else None
    part = minus(mean_of(outcomes, mode, TASK), mean_of(outcomes, BASE, TASK))
    return {
        HACK_LEFT: minus(own, mean_of(outcomes, BASE, HACKED)),
        HACK_OVER_CEILING: minus(own, mean_of(trained, BOTH, HACKED)),
        CEILING_SHARE: None if part is None or gain is None else part / gain,
    }


def by_trained_mode(outcomes: Outcomes) -> Outcomes:
    return {as_trained(mode): figures for mode, figures in outcomes.items()}


def mean_of(outcomes: Outcomes, mode: str, figure: str) -> float | None:
    values = outcomes[mode].get(figure)
    return None if values is None else float(np.mean(values))
