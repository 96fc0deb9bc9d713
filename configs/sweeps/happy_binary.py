"""The easy reward: does happy_binary rise while the samples stay stories? All weights for 2,000 steps, as the validated run had
it, and a single adapter of three ranks at three learning rates for 300.

uv run sweep.py configs/sweeps/happy_binary.py
"""

from configs.experiment import EvaluationSettings, Experiment
from configs.sweep import Sweep

RANKS, RATES = (1, 4, 32), (1e-4, 3e-4, 1e-3)
ALL_WEIGHTS = {"adapter.kind": "none", "max_steps": 2_000, "lr": 1e-5}

sweep = Sweep(
    base=Experiment(reward="happy_binary", max_steps=300, eval=EvaluationSettings(final_samples=400)),
    arms={"all weights": ALL_WEIGHTS}
    | {f"rank {rank}, lr {rate:g}": {"lora_rank": rank, "lr": rate} for rank in RANKS for rate in RATES},
    seeds=[42, 123, 7],
)
