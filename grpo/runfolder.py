"""A run's folder, written and read: the one place that knows its files. No torch, so that reading is instant.

config.yaml         resolved settings        metrics.jsonl       one row a step
train.log           what the screen said     timing.jsonl        wall-clock figures of each step
status.json         state and last step      samples.jsonl       logged completions, one a row
run.json            what the run was made of routing_eval.jsonl  one row an evaluation and mode
checkpoint-STEP/    weights and optimizer    evaluation.json     the evaluation at the end, summary.json
                                             evaluation_samples.jsonl  its completions, one a row and mode
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from configs.errors import UserError

ROWS = ("metrics.jsonl", "timing.jsonl", "samples.jsonl", "routing_eval.jsonl", "evaluation_samples.jsonl")


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes under a temporary name, syncs and renames, so that a file under its own name is always whole."""
    temporary = path.with_name(path.name + ".tmp")
    write(temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    write_whole(path, lambda temporary: _dump(temporary, value))


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n")


class RunFolder:
    """Appends rows and log lines; every row is on the disk's way before the next step starts."""

    def __init__(self, path: Path):
        self.path = path

    def append(self, name: str, row: dict[str, Any]) -> None:
        assert name in ROWS, name
        with (self.path / name).open("a") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def log(self, text: str) -> None:
        with (self.path / "train.log").open("a") as file:
            file.write(text.rstrip("\n") + "\n")

    def status(self, state: str, step: int, **more: Any) -> None:
        write_json(self.path / "status.json", {"state": state, "step": step} | more)


def check_free(path: Path, overwrite: bool) -> None:
    """Raises UserError when the folder exists and may not be replaced; touches nothing."""
    if path.exists() and not overwrite:
        raise UserError(f"--output_dir {path.parent}: the run {path.name} exists there; --overwrite replaces it")
    if path.exists() and not (path / "config.yaml").is_file():
        raise UserError(f"--overwrite: {path} is not a run's folder (no config.yaml in it), so it stays")


def create(path: Path, config: dict[str, Any], made_of: dict[str, Any], overwrite: bool) -> RunFolder:
    check_free(path, overwrite)
    if path.exists():
        shutil.rmtree(path)
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--output_dir {path.parent}: cannot be written: {error.strerror}") from error
    write_whole(path / "config.yaml", lambda temporary: _dump_yaml(temporary, config))
    write_json(path / "run.json", made_of)
    return RunFolder(path)


def _dump_yaml(path: Path, value: Any) -> None:
    path.write_text(yaml.safe_dump(value, sort_keys=False))


def read_json_file(path: Path) -> dict[str, Any]:
    """Raises ValueError when it is damaged, OSError when it can not be read."""
    return json.loads(path.read_text())


def read_rows(path: Path, name: str) -> list[dict[str, Any]]:
    """All rows of a file, none when it does not exist. Raises ValueError for a damaged row, naming its line."""
    file = path / name
    if not file.exists():
        return []
    rows = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}:{number}: not a JSON row: {error}") from error
    return rows
