"""Paid for every "happy": how the count rises, what the KL penalty holds, and what stuffing looks like.

Nine runs of 300 steps, long: forty minutes on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/happy_count.py
"""

from configs.experiment import EvaluationSettings, Experiment
from configs.sweep import Sweep

sweep = Sweep(
    base=Experiment(reward="happy_count", max_steps=300, lora_rank=8, lr=1e-3, eval=EvaluationSettings(final_samples=400)),
    grid={"beta": [0.005, 0.02, 0.1]},
    seeds=[42, 123, 7],
)
