"""What entry points tell in one line, without a traceback."""

import difflib
from collections.abc import Collection


class UserError(Exception):
    """What a user got wrong: the option, the value and what is accepted. Exit code 2; nothing has been created by then."""


class RunFailure(RuntimeError):
    """Why a run must not go on. Exit code 1; its traceback stands in train.log."""


def did_you_mean(name: str, known: Collection[str]) -> str:
    """` (did you mean X?)`, X being the last part of a dotted name or close to it; empty where nothing is."""
    same_word = [each for each in known if each.rpartition(".")[2] == name.lstrip("-")]
    close = same_word or difflib.get_close_matches(name, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
