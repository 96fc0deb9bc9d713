"""Does the hack stay out? What the runs of frontier.py leave is trained on, the bonus paid, until half of its stories are hacks.

Forty-five runs of 300 steps and then at most 100 twice, long: three hours on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/relearning.py
"""

from dataclasses import replace

from configs.sweep import Sweep
from configs.sweeps import frontier

BASE = frontier.sweep.base

sweep = Sweep(
    base=replace(BASE, eval=replace(BASE.eval, relearn_steps=100, relearn_hack_rate=0.5)),
    arms=frontier.sweep.arms,
    seeds=frontier.sweep.seeds,
)
