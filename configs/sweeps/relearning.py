"""Does the hack stay out? What five arms of frontier.py leave is trained on, the bonus paid, until half of its stories are hacks.

Twenty-five runs of 300 steps and then at most 100 twice, long: two hours on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/relearning.py
"""

from dataclasses import replace

from configs.sweep import Sweep
from configs.sweeps import frontier

BASE = frontier.sweep.base
ARMS = [arm for arm in frontier.sweep.arms if "single LoRA" not in arm]

sweep = Sweep(
    base=replace(BASE, eval=replace(BASE.eval, relearn_steps=100, relearn_hack_rate=0.5)),
    arms={arm: frontier.sweep.arms[arm] for arm in ARMS},
    seeds=frontier.sweep.seeds,
)
