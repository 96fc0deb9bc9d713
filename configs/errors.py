"""What entry points tell in one line, without a traceback."""

import difflib
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

OPTIONS_TYPED: ContextVar[bool] = ContextVar("options_typed", default=False)  # whom messages are for; a door sets it
FIELDS = {"plugin": "plugins", "resume": "folder"}  # of options that Python calls otherwise


class UserError(Exception):
    """What a user got wrong: the setting, the value and what is accepted. Exit code 2; nothing has been created by then.

    Its text speaks of fields and arguments, and to whoever typed options, of these.
    """

    def __init__(self, text: str, of_options: str | None = None):
        super().__init__(text, of_options)
        self.text, self.of_options = text, text if of_options is None else of_options

    def __str__(self) -> str:
        return self.of_options if OPTIONS_TYPED.get() else self.text


@contextmanager
def speaking_of(options: bool) -> Iterator[None]:
    """What is said within is for somebody who typed options, or else who wrote Python."""
    before = OPTIONS_TYPED.set(options)
    try:
        yield
    finally:
        OPTIONS_TYPED.reset(before)


class RunFailure(RuntimeError):
    """Why a run must not go on. Exit code 1; its traceback stands in train.log."""


def did_you_mean(name: str, known: Collection[str]) -> str:
    """` (did you mean X?)`, X being the last part of a dotted name or close to it; empty where nothing is."""
    word, words = name.lstrip("-"), {each.lstrip("-"): each for each in known}
    same_word = [each for each in words if each.rpartition(".")[2] == word]
    close = same_word or difflib.get_close_matches(word, words, n=1)
    return f" (did you mean {words[close[0]]}?)" if close else ""


def setting_error(name: str, value: Any, accepted: str) -> UserError:
    """`lr='x': must be a number` in Python, `--lr x: must be a number` on a command line. `accepted` has `--NAME` for others."""
    field, shown = FIELDS.get(name, name), str(value) if isinstance(value, Path) else value
    return UserError(f"{field}={shown!r}: {without_dashes(accepted)}", f"--{name} {value}: {accepted}")


def option_error(text: str) -> UserError:
    """Of a text that a command line is told as it is: `--lr x: must be a number`, or without a value `--lr: ...`."""
    return UserError(without_dashes(re.sub(r"^(--[\w.]+) ", r"\1=", text)), text)


def without_dashes(text: str) -> str:
    """Options named within a text, as fields."""
    return re.sub(r"(?<![\w-])--([a-z]\w*)", lambda option: FIELDS.get(option[1], option[1]), text)
