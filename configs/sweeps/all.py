"""All sweeps whose figures stand in docs/results.md, one after the other.

Long: hours on two cores (`--dry_run` estimates it).

uv run sweep.py configs/sweeps/all.py
"""

from pathlib import Path

from configs.sweep import series_of_files

NAMES = [
    "happy_binary",
    "routing_ablation",
    "template_collapse",
    "sentiment",
]

series = series_of_files(Path(__file__).parent, NAMES)
