"""How much must be known? Few labels, wrong ones, and a detector that sees stuffing alone, for classic masks and for the filter;
half_labels.py has both with every other label.

Thirty-nine runs of 150 steps, long: an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/labels.py
"""

from configs.sweep import Sweep
from configs.sweeps.exclamations import FILTER, UNHACKABLE
from configs.sweeps.half_labels import BASE, CLASSIC

ARMS = {"classic": CLASSIC, "filter": FILTER}
KNOWN = {
    "all labels": {},
    **{f"fraction {fraction}": {"labels.fraction": fraction} for fraction in (0.2, 0.05)},
    **{f"noise {noise}": {"labels.noise": noise} for noise in (0.02, 0.1)},
    "stuffing alone": {"env.detector": "exclaims_at_least(threshold=3)"},
}

sweep = Sweep(
    base=BASE,
    arms={
        **{f"{arm}, {known}": settings | of_labels for arm, settings in ARMS.items() for known, of_labels in KNOWN.items()},
        "unhackable": UNHACKABLE,
    },
    seeds=[42, 123, 7],
)
