"""Does the hack stay out? What each arm leaves is trained on, the bonus paid, until it hacks in half of its stories.

Twelve runs of 300 steps and then at most 100 twice, long: an hour on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/relearning.py
"""

from configs.experiment import EvaluationSettings, Experiment
from configs.sweep import Sweep

sweep = Sweep(
    base=Experiment(
        reward="sentence_length_10_smooth_with_exclamations",
        max_steps=300,
        lr=1e-3,
        beta=0.05,
        eval=EvaluationSettings(final_samples=400, relearn_steps=100, relearn_hack_rate=0.5),
    ),
    arms={
        "routed": {"routing.enabled": True, "routing.mode": "exclusive"},
        "no masks": {"adapter.kind": "dual_lora", "advantages": "good_only"},
        "filter": {"adapter.kind": "dual_lora", "baseline": "filter"},
        "unhackable": {"adapter.kind": "dual_lora", "env.eligible_fraction": 0},
    },
    seeds=[42, 123, 7],
)
