"""Rows and objects of files, checked: every number is a number or null when it leaves this module.

Everything else in its place is a damaged file, which is a UserError of one line that names the place.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import NoneType
from typing import Any

import yaml

from configs.errors import UserError
from records import files

Row = dict[str, Any]
Kinds = Mapping[str, tuple[type, ...]]

NUMBER, TEXT, FLAG = (int, float, NoneType), (str,), (bool, NoneType)
SAMPLE: Kinds = {"prompt": TEXT, "completion": TEXT, "reward": NUMBER, "components": (dict, NoneType), "hacked": FLAG,
                 "marks": (list, NoneType)}  # fmt: skip
RATES = ("hacked", "reward", "task_reward", "kl_to_start")  # of a measurement
# Of each file, what is read of it and of what kind that has to be.
FILES: dict[str, Kinds] = {
    files.METRICS: {"step": (int,)},
    files.TIMING: {"step_time": NUMBER},
    files.ROUTING_EVAL: {"step": (int,), "mode": TEXT, "reward": NUMBER, "hacked": NUMBER},
    files.SAMPLES: {"step": (int,), **SAMPLE},
    files.EVALUATION_SAMPLES: {"mode": TEXT, **SAMPLE},
    files.RELEARNING: {"start": TEXT, "step": (int,), **dict.fromkeys(RATES, NUMBER)},
    files.FAILURES: {"run": TEXT, "attempt": NUMBER, "exit_code": NUMBER, "last_lines": (list,)},
}
TAIL = 1 << 14  # bytes of a file's end that `last_rows` reads: a few rows


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def read_rows(folder: Path, name: str, running: bool = False) -> list[Row]:
    """All rows of a file, none when there is no file. Of a run that is still running, an unfinished last line is left out.

    Raises UserError, naming file and line, for a row that is no JSON object or has something else where `FILES` tells what.
    """
    file = folder / name
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read: {error}") from error
    if running or not lines[-1]:
        lines.pop()
    return [_row(file, number, line) for number, line in enumerate(lines, 1)]


def _row(file: Path, number: int, line: str) -> Row:
    try:
        row = _decode(line)
    except ValueError as error:
        raise UserError(f"{file}:{number}: not a JSON row: {error}") from error
    check_kinds(f"{file}:{number}", row, FILES[file.name])
    return row


def last_rows(folder: Path, name: str) -> list[Row]:
    """The whole rows in a file's last few kilobytes; damaged ones are left out, for others to complain about."""
    try:
        with (folder / name).open("rb") as stream:
            start = max(0, stream.seek(0, 2) - TAIL)
            stream.seek(start)
            lines = stream.read().split(b"\n")[:-1]
    except OSError:  # not yet, or not any more
        return []
    rows = []
    for line in lines[1:] if start else lines:
        with suppress(ValueError):
            rows.append(json.loads(line))
    return rows


def check_kinds(place: str, row: Any, kinds: Kinds) -> None:
    """Raises UserError, in one line that begins with `place`, where an entry is of another kind; one that is missing is None."""
    if not isinstance(row, dict):
        raise UserError(f"{place}: not a JSON object")
    for name, accepted in kinds.items():
        if type(row.get(name)) not in accepted:
            raise UserError(f"{place}: {name} is {json.dumps(row.get(name))[:80]}, not {_spoken(accepted)}")


def _spoken(kinds: tuple[type, ...]) -> str:
    names = {int: "a whole number", float: "a number", str: "a text", bool: "true or false", list: "a list", dict: "an object"}
    return names[float] if float in kinds else names[kinds[0]]


def read_object(file: Path) -> Row:
    """A JSON or YAML file that holds one object; {} when there is none. Raises UserError for a damaged one."""
    try:
        text = file.read_text()
        value = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)) if file.suffix == ".yaml" else _decode(text)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{file}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise UserError(f"{file}: not a mapping")
    return value
