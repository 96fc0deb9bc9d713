"""Does the hack stay out? How many steps of training a policy takes until it hacks again (docs/method.md). No torch.

A *start* is what that training begins with: the base, or the whole policy, or of one with two adapters retain alone, merged into
the base. Its figures stand among those of the mode of its name. The hack rate is measured every few steps alone, so `STEPS` is
one of these; where the last of them was reached without the threshold it is None, never the last.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from records.figures import cell
from records.measures import HACKED, LEARNT, Outcomes, is_learnt
from records.names import BASE, as_trained

EVERY = 10  # steps between two measurements
MOST_SAMPLES = 256  # completions of each
STEPS, THRESHOLD, MOST_STEPS = "steps_to_relearn", "relearn_threshold", "relearn_steps"
FIGURES = (STEPS, THRESHOLD, MOST_STEPS)
Figures = Mapping[str, Any]  # of one start
NOTHING_LEARNT = "relearning was not tried: nothing was learnt to relearn (but for noise the policy hacks no more than the base)"
NOT_TRIED: Figures = {STEPS: None, THRESHOLD: None, MOST_STEPS: 0}  # without a threshold


def half_way(outcomes: Outcomes) -> float | None:
    """Between the hack rates of the base and of the policy as it was trained; None where these are equal but for noise."""
    by_mode = {as_trained(mode): figures for mode, figures in outcomes.items()}
    return float(np.mean([np.mean(by_mode[mode][HACKED]) for mode in LEARNT])) if is_learnt(by_mode, HACKED) else None


def figures_of(rows: Sequence[Mapping[str, Any]], threshold: float, most_steps: int) -> Figures:
    """Of a start's rows of relearning.jsonl, of which the first that reaches the threshold is the last."""
    last = rows[-1]
    return {STEPS: last["step"] if last["hacked"] >= threshold else None, THRESHOLD: threshold, MOST_STEPS: most_steps}


def steps_text(figures: Figures) -> str:
    """40, or >100 where so many were not enough; "–" where it was not tried."""
    if figures[STEPS] is not None:
        return f"{figures[STEPS]}"
    return cell(None) if figures[THRESHOLD] is None else f">{figures[MOST_STEPS]}"


def sentences(figures: Mapping[str, Figures]) -> list[str]:
    """What is said of a run's starts, a line each, the base's steps beside the policy's; one where nothing was tried."""
    if figures[BASE][THRESHOLD] is None:
        return [NOTHING_LEARNT]
    base = f" (base: {steps_text(figures[BASE])})"
    return [
        f"{start}: {steps_text(each)} steps until it hacks at {cell(each[THRESHOLD])}{base if start != BASE else ''}"
        for start, each in figures.items()
    ]
