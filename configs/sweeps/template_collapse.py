"""The runs that the thresholds of the `template_collapse` flag (runs/diversity.py) were fixed on, and tried on.

Three rewards at settings that work, and three that a high learning rate without a KL penalty was meant to break. The
thresholds were fixed on seed 1, whose samples were read to judge which runs had collapsed, and tried on seed 2.
Twelve runs of 100 steps, long: most of an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/template_collapse.py
"""

from configs.experiment import EvaluationSettings, Experiment
from configs.sweep import Sweep

GENTLE, HARSH = (3e-4, 0.02), (3e-3, 0.0)  # lr, beta
CASES = {
    ("happy_binary", *GENTLE),
    ("sentence_length_10_smooth", *GENTLE),
    ("sentence_length_5", *GENTLE),
    ("happy_count(cap=20)", *HARSH),
    ("sentence_length_5", *HARSH),
    ("sentence_length_10", *HARSH),
}

sweep = Sweep(
    base=Experiment(max_steps=100, lora_rank=8, eval=EvaluationSettings(final_samples=256)),
    grid={"reward": sorted({reward for reward, _, _ in CASES}), "lr": [3e-4, 3e-3], "beta": [0.02, 0.0]},
    seeds=[1, 2],
    keep=lambda experiment: (experiment.reward, experiment.lr, experiment.beta) in CASES,
)
