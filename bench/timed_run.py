"""`launch.py` with a clock beside it: `python -m bench.timed_run FILE WORDS` trains as `launch.py WORDS` does.

FILE then holds a JSON list of [phase, start, end], in seconds of the machine's monotonic clock, which all its processes share.
A phase is a function that `runs.trainer` calls by that name; phases do not overlap.
"""

import json
import runpy
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from runs import trainer

LAUNCH = Path(__file__).parents[1] / "launch.py"
PHASES = ("build_run", "preflight", "base_samples", "evaluate_modes", "train_step", "save_checkpoint")
Span = tuple[str, float, float]


def clocked(name: str, function: Callable[..., Any], spans: list[Span]) -> Callable[..., Any]:
    """The same function; each call appends its span."""

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        start = time.monotonic()
        result = function(*arguments, **named)
        spans.append((name, start, time.monotonic()))
        return result

    return call


def main(words: list[str]) -> None:
    file, *options = words
    spans: list[Span] = []
    for name in PHASES:
        setattr(trainer, name, clocked(name, getattr(trainer, name), spans))
    sys.argv = [str(LAUNCH), *options]
    try:
        runpy.run_path(str(LAUNCH), run_name="__main__")
    finally:
        Path(file).write_text(json.dumps(spans))


if __name__ == "__main__":
    main(sys.argv[1:])
