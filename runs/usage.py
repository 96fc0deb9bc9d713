"""What a run has taken of the machine, for the estimates of sweeps."""

import resource
import sys
from typing import Any

import torch

from grpo.run import Run
from records.folder import RunFolder

MAXRSS = 1 if sys.platform == "darwin" else 1024  # bytes in a unit of ru_maxrss


def usage(run: Run, folder: RunFolder, whole: bool) -> dict[str, Any]:
    """Entries of status.json: the most memory that the process has had so far, in bytes, and of a run that is `whole`, never
    interrupted, the seconds of each phase."""
    memory = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS}
    if run.device.type == "cuda":
        memory["gpu"] = torch.cuda.max_memory_reserved(run.device)
    seconds = {phase: round(seconds, 2) for phase, seconds in folder.seconds_so_far().items()}
    return {"peak_memory": memory} | ({"seconds": seconds} if whole else {})
