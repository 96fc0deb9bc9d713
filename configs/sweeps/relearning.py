"""Does the hack stay out? What each arm leaves is trained on, the bonus paid, until it hacks in half of its stories.

Twelve runs of 300 steps and then at most 100 twice, long: an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/relearning.py
"""

from dataclasses import replace

from configs.sweep import Sweep
from configs.sweeps.exclamations import BASE, EXCLUSIVE, FILTER, UNHACKABLE, UNROUTED

sweep = Sweep(
    base=replace(BASE, eval=replace(BASE.eval, relearn_steps=100, relearn_hack_rate=0.5)),
    arms={
        "routed": EXCLUSIVE,
        "no masks": UNROUTED,
        "filter": FILTER,
        "unhackable": UNHACKABLE,
    },
    seeds=[42, 123, 7],
)
