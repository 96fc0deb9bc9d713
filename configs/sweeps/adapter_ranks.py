"""The easy reward on one adapter: which rank and learning rate learn it, and at what KL?

Twenty-seven runs of 300 steps, long: over an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/adapter_ranks.py
"""

from configs.experiment import EvaluationSettings, Experiment
from configs.sweep import Sweep

sweep = Sweep(
    base=Experiment(reward="happy_binary", max_steps=300, eval=EvaluationSettings(final_samples=400)),
    grid={"lora_rank": [1, 4, 32], "lr": [1e-4, 3e-4, 1e-3]},
    seeds=[42, 123, 7],
)
