"""A reward for exact sentence lengths against its smooth form: which of them ends in templates or gibberish, at which KL penalty
and learning rate, and which flag sees it?

Twenty-four runs of 200 steps, long: fifty minutes on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/sentence_lengths.py
"""

from configs.experiment import AdapterSettings, EvaluationSettings, Experiment
from configs.sweep import Sweep

SETTINGS = {(3e-3, 0.003), (3e-3, 0.02), (3e-3, 0.1), (1e-3, 0.02)}  # lr, beta

sweep = Sweep(
    base=Experiment(max_steps=200, lora_rank=8, adapter=AdapterSettings(alpha=32.0), eval=EvaluationSettings(final_samples=400)),
    grid={
        "reward": ["sentence_length_10", "sentence_length_10_smooth"],
        "lr": [1e-3, 3e-3],
        "beta": [0.003, 0.02, 0.1],
    },
    seeds=[42, 123, 7],
    keep=lambda experiment: (experiment.lr, experiment.beta) in SETTINGS,
)
