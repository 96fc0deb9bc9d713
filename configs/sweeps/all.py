"""The findings, one sweep after the other: those whose figures stand in docs/results.md, and those that it says are still open.

Long: some seventeen hours on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/all.py
"""

from pathlib import Path

from configs.sweep import series_of_files

NAMES = [
    "defaults",
    "exclamations",
    "relearning",  # frontier.py's runs, and what they leave trained on
    "task_that_hacks",
    "sentiment",
    "routing_ablation",
    "template_collapse",
    "happy_binary",
    "happy_binary_all_weights",
    "adapter_ranks",
    "happy_count",
    "sentence_lengths",
    "half_labels",
    "masks_and_rules",
    "labels",
    "repeat",
    "prompt_quadrants",
    "scale",
]

series = series_of_files(Path(__file__).parent, NAMES)
