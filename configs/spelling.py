"""Values that earlier versions spelt otherwise. Runs recorded with them are read, and keep their hashes.

Only whole records (config.yaml of a run, configs/ of a sweep) are read so: what a user writes has today's spelling.
"""

import re
from typing import Any

RULES = {"retain_only": "good_only"}  # routing.advantages, first spelling -> today's
DETECTORS = {"happy_count": "happy_at_least"}  # env.detector, and the hack of a reward


def todays_spelling(name: str, value: Any) -> Any:
    """The value of a setting, by dotted name, that a record holds."""
    return _respelt(name, value, RULES, DETECTORS)


def first_spelling(name: str, value: Any) -> Any:
    """What the first version would have recorded, which hashes are made of."""
    return _respelt(name, value, *({new: old for old, new in words.items()} for words in (RULES, DETECTORS)))


def _respelt(name: str, value: Any, rules: dict[str, str], detectors: dict[str, str]) -> Any:
    if name == "routing.advantages":
        return rules.get(value, value)
    if name == "env.detector":
        return _call(value, detectors)
    if name == "reward" and isinstance(value, dict) and "hack" in value:
        return value | {"hack": _call(value["hack"], detectors)}
    return value


def _call(text: Any, names: dict[str, str]) -> Any:
    return re.sub(r"^\s*(\w+)", lambda word: names.get(word[1], word[1]), text) if isinstance(text, str) else text
