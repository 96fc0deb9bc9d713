"""A run's folder, as it is written; `records.reader` reads it. No torch, so that both are instant.

config.yaml         resolved settings        metrics.jsonl       one row a step
train.log           what the screen said     timing.jsonl        wall-clock figures of each step
status.json         state, phase, steps      samples.jsonl       logged completions, one a row
run.json            what the run was made of routing_eval.jsonl  one row an evaluation and mode
checkpoint-STEP/    weights and optimizer    evaluation.json     the evaluation at the end, summary.json
.lock               held while it trains     evaluation_samples.jsonl  its completions, one a row and mode
                                             relearning.jsonl    one row a start and measurement, where asked for

Beside it lies .base_samples/, which runs share (runs/base_samples.py).
"""

import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from configs.errors import UserError, option_error
from records import files
from records.names import LOADING, RUNNING

TIME = "%Y-%m-%d %H:%M:%S"  # before each line of train.log


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Writes under a temporary name, syncs and renames, so that a file under its own name is always whole."""
    temporary = path.with_name(path.name + ".tmp")
    write(temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def write_json(path: Path, value: Any) -> None:
    write_whole(path, lambda file: file.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n"))


def write_yaml(path: Path, value: Any) -> None:
    write_whole(path, lambda file: file.write_text(yaml_text(value)))


def yaml_text(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False)


class RunFolder:
    """Appends rows and log lines; every row is on the disk's way before the next step starts."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = FileLock(path / files.LOCK)
        self.seconds: dict[str, float] = {}  # spent in each phase before the present one
        self._phase, self._since = LOADING, time.time()

    def lock(self) -> None:
        """Until `close`, no other process trains here. Raises UserError when one does."""
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise UserError(f"{self.path}: is being trained by another process") from None

    def close(self) -> None:
        self._lock.release()

    def move(self, path: Path) -> None:
        self.path.rename(path)
        self.path = path

    def append(self, name: str, *rows: dict[str, Any]) -> None:
        assert name in files.ROWS, name
        lines = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows)
        with (self.path / name).open("a") as file:
            file.write(lines)

    def log(self, text: str) -> None:
        """Every line behind the time."""
        now = time.strftime(TIME)
        with (self.path / files.LOG).open("a") as file:
            file.writelines(f"{now} {line}\n" for line in text.rstrip("\n").split("\n"))

    def began(self, at: float) -> None:
        """The run's first phase, by the clock that `time.time` reads."""
        self.seconds, self._since = {}, at

    def seconds_so_far(self) -> dict[str, float]:
        """Spent in each phase."""
        spent = self.seconds.get(self._phase, 0.0) + max(0.0, time.time() - self._since)
        return self.seconds | {self._phase: spent}

    def status(self, state: str, step: int, **more: Any) -> None:
        """`step` is how many have been done; `phase`, of a run that goes on, what it does from now on: counts the seconds of the
        one before."""
        self.seconds, self._since = self.seconds_so_far(), time.time()
        self._phase = more.get("phase", self._phase)
        write_json(self.path / files.STATUS, {"state": state, "step": step} | more)

    def sync(self) -> dict[str, int]:
        """Every row and line so far on the disk; how many each file has, which `cut_back` takes."""
        lines = {}
        for name in (files.LOG, *files.ROWS):
            lines[name] = 0
            if (self.path / name).exists():
                with (self.path / name).open("rb") as file:
                    os.fsync(file.fileno())
                    lines[name] = sum(1 for _ in file)
        return lines

    def cut_back(self, lines: dict[str, int]) -> None:
        """The files' first lines, as many as `sync` counted; none without a count. Raises ValueError where there are fewer."""
        kept: dict[str, bytes] = {}
        for name in (files.LOG, *files.ROWS):
            file, count = self.path / name, lines.get(name, 0)
            rows = io.BytesIO(file.read_bytes()).readlines() if file.exists() else []
            if len(rows) < count:
                raise ValueError(f"{file}: {len(rows)} lines, where there were {count}")
            if rows:
                kept[name] = b"".join(rows[:count])
        for name, content in kept.items():
            write_whole(self.path / name, lambda temporary, content=content: temporary.write_bytes(content))


def check_free(path: Path, overwrite: bool) -> None:
    """Raises UserError when the folder exists and may not be replaced; touches nothing."""
    if path.exists() and not overwrite:
        raise option_error(f"--output_dir {path.parent}: the run {path.name} exists there; --overwrite replaces it")
    if path.exists() and not (path / files.CONFIG).is_file():
        raise option_error(f"--overwrite: {path} is not a run's folder (no config.yaml in it), so it stays")


@contextmanager
def new_folder(path: Path, config: dict[str, Any], overwrite: bool) -> Iterator[RunFolder]:
    """A run's folder while what goes into it is loaded: locked, with its settings and its status.

    It appears whole or not at all, and is gone again, with the folders that were made for it, when what is done within raises.
    One that takes an earlier run's place does so at the end; until then that run's stays, and this one has a temporary name.
    Raises UserError.
    """
    check_free(path, overwrite)
    folder, replaced = RunFolder(path.with_name(path.name + ".tmp")), RunFolder(path) if path.exists() else None
    missing = [parent for parent in path.parents if not parent.exists()]
    if replaced:
        replaced.lock()
    try:
        with cannot_be_written(path):
            write_beginning(folder, config)
            if not replaced:
                folder.move(path)
        yield folder
        if replaced:
            with cannot_be_written(path):
                shutil.rmtree(path)
                folder.move(path)
    except BaseException:
        shutil.rmtree(folder.path, ignore_errors=True)
        folder.close()
        with suppress(OSError):  # others have come to lie there
            for parent in missing:
                parent.rmdir()
        raise
    finally:
        if replaced:
            replaced.close()


def write_beginning(folder: RunFolder, config: dict[str, Any]) -> None:
    shutil.rmtree(folder.path, ignore_errors=True)
    folder.path.mkdir(parents=True)
    folder.lock()
    write_yaml(folder.path / files.CONFIG, config)
    folder.status(RUNNING, 0, phase=LOADING)


@contextmanager
def cannot_be_written(path: Path) -> Iterator[None]:
    """One line that names the output folder."""
    try:
        yield
    except OSError as error:
        raise option_error(f"--output_dir {path.parent}: cannot be written: {error.strerror}") from error


@contextmanager
def status_put_back(folder: RunFolder) -> Iterator[None]:
    """Where what is done within raises, status.json is as it was."""
    file = folder.path / files.STATUS
    before = file.read_bytes() if file.exists() else b""
    try:
        yield
    except BaseException:
        if before:
            write_whole(file, lambda temporary: temporary.write_bytes(before))
        raise


def create(path: Path, config: dict[str, Any], made_of: dict[str, Any], overwrite: bool) -> RunFolder:
    """A new run's folder with what the run was made of, as `new_folder`."""
    with new_folder(path, config, overwrite) as folder:
        write_json(folder.path / files.MADE_OF, made_of)
    return folder
