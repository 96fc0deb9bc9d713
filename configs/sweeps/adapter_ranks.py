"""The easy reward on one adapter: which rank and learning rate learn it, and at what KL? All have the same alpha / rank.

Twenty-seven runs of 200 steps, long: an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/adapter_ranks.py
"""

from configs.experiment import EvaluationSettings, Experiment
from configs.sweep import Sweep

sweep = Sweep(
    base=Experiment(reward="happy_binary", max_steps=200, eval=EvaluationSettings(final_samples=400)),
    grid={"lr": [1e-4, 3e-4, 1e-3]},
    arms={f"rank {rank}": {"lora_rank": rank, "adapter.alpha": 4.0 * rank} for rank in (1, 4, 32)},
    seeds=[42, 123, 7],
)
