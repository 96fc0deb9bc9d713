"""How much must be known? Fewer labels, wrong ones, and a detector that sees stuffing alone, for routing and for the filter.

Forty-five runs of 300 steps, long: two hours on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/labels.py
"""

from configs.sweep import Sweep
from configs.sweeps.exclamations import BASE, EXCLUSIVE, FILTER, UNHACKABLE

ARMS = {
    "routed": EXCLUSIVE,
    "filter": FILTER,
}
KNOWN = {
    "all labels": {},
    **{f"fraction {fraction}": {"labels.fraction": fraction} for fraction in (0.5, 0.2, 0.05)},
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
