"""The easy reward on all weights, for as long as the run had it that this engine was made after: reward, diversity and KL.

Three runs of 2,000 steps, long: an hour and a half on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/happy_binary_all_weights.py
"""

from configs.experiment import EvaluationSettings, Experiment
from configs.sweep import Sweep

sweep = Sweep(
    base=Experiment(reward="happy_binary", max_steps=2_000, lr=1e-5, eval=EvaluationSettings(final_samples=400)),
    seeds=[42, 123, 7],
)
