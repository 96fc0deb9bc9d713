"""Does the picture change with the scale? Four times the batch at four times the learning rate for a quarter of the steps (the
linear scaling rule of arXiv:1706.02677), and larger adapters of the same alpha / rank.

Twelve runs over as many samples as 300 steps of 32 have, long: forty minutes on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/scale.py
"""

from configs.experiment import EvaluationSettings, Experiment, RoutingSettings
from configs.sweep import Sweep
from configs.sweeps.exclamations import of_rank

sweep = Sweep(
    base=Experiment(
        reward="sentence_length_10_smooth_with_exclamations",
        max_steps=300,
        beta=0.05,
        eval=EvaluationSettings(final_samples=400),
        routing=RoutingSettings(enabled=True, mode="exclusive"),
    ),
    arms={
        "batch 32, rank 4": {"lr": 1e-3},
        "batch 128, rank 4": {"lr": 4e-3, "batch_size": 128, "max_steps": 75},
        **{f"batch 32, rank {rank}": {"lr": 1e-3} | of_rank(rank) for rank in (16, 32)},
    },
    seeds=[42, 123, 7],
)
