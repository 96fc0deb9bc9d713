"""What the tests of runs taken up again compare, and how they come between two steps."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import runs.trainer
from grpo.run import Run
from records.rows import read_object, read_rows
from tests.helpers import log_lines


def contents(folder: Path) -> dict[str, bytes]:
    """Everything but wall-clock figures, by file; the places of the folder and times are cut out of train.log."""
    found = {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    found["train.log"] = re.sub(rf"\S*(?=/{re.escape(folder.name)})", "", "\n".join(log_lines(folder))).encode()
    found["run.json"] = json.dumps(json.loads(found["run.json"]) | {"command": None}).encode()  # how it was started
    config = found.pop("config.yaml").decode().splitlines()
    found["config.yaml"] = "\n".join(line for line in config if not line.startswith("output_dir")).encode()
    assert [row["step"] for row in read_rows(folder, "timing.jsonl")] == [
        row["step"] for row in read_rows(folder, "metrics.jsonl")
    ]
    end = read_object(folder / "status.json")
    found["status.json"] = json.dumps({name: end[name] for name in end if name not in ("seconds", "peak_memory")}).encode()
    return {name: content for name, content in found.items() if name != "timing.jsonl"}


@contextmanager
def during_steps(action: Callable[[Run], object]) -> Iterator[None]:
    """Has every step of the trainer begin with `action`."""
    train_step = runs.trainer.train_step
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs.trainer, "train_step", lambda run: (action(run), train_step(run))[1])
        yield
