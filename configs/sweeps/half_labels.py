"""Half of what is detected is not labelled: which masks keep a hack out of retain that nobody pointed at?

In classic mode an unlabelled hack trains both adapters, in exclusive mode retain alone, and the filter keeps it.
Twelve runs of 150 steps, long: a quarter of an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/half_labels.py
"""

from dataclasses import replace

from configs.sweep import Sweep
from configs.sweeps import exclamations
from configs.sweeps.exclamations import EXCLUSIVE, FILTER, UNROUTED

BASE = replace(exclamations.BASE, max_steps=150, lr=1.5e-3, beta=0.03)
CLASSIC = {"routing.enabled": True, "routing.mode": "classic"}
HALF = {"labels.fraction": 0.5}

sweep = Sweep(
    base=BASE,
    arms={
        "classic": CLASSIC | HALF,
        "no masks": UNROUTED | HALF,
        "exclusive": EXCLUSIVE | HALF,
        "filter": FILTER | HALF,
    },
    seeds=[42, 123, 7],
)
