"""Which GPUs there are, found out without torch."""

import os
import subprocess

QUERY = ("nvidia-smi", "--query-gpu=index", "--format=csv,noheader")
SECONDS = 20  # for the driver to answer


def gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES names, where it is set, else the indices of all; empty where there is none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return gpus_of_driver()
    named = [name.strip() for name in visible.split(",")]
    return [name for name in named[: named.index("-1") if "-1" in named else None] if name]  # CUDA stops reading at -1


def gpus_of_driver() -> list[str]:
    """By nvidia-smi; none where there is no driver."""
    try:
        listing = subprocess.run(QUERY, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listing.splitlines() if line.strip()]
