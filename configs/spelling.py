"""Settings that earlier versions spelt otherwise. Runs recorded with them are read, and keep their hashes.

Only whole records (config.yaml of a run, configs/ of a sweep) are read so: what a user writes has today's spelling.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any

RULES = {"retain_only": "good_only"}  # the advantage rule, first spelling -> today's
DETECTORS = {"happy_count": "happy_at_least"}  # env.detector, and the hack of a reward
FIRST_RULE = "routing.advantages"  # where the first version had it, for routed runs alone
ADDED = {"advantages", "reward_penalty_on", "eval.seed"}  # what its records lack
# Settings that came after these, and what all runs recorded without them had.
LATER: dict[str, Any] = {
    "model_dtype": "float32",
    "require_eos": True,
    "eval_split": "test",
    "env.bos": "auto",
    "plugins": [],
    "name": "",
    "tags": [],
    "notes": "",
    "stop_rule": "none",
    "continue_from": "",
    "grpo.lr_schedule": "linear",
    "grpo.weight_decay": 0.0,
    "grpo.adam_beta2": 0.999,
    "threads": None,
    "eval.relearn_steps": 0,
    "eval.relearn_hack_rate": None,
}
OWN_SEED = "run"  # eval.seed of its runs: each was evaluated with draws of its own

Flat = Mapping[str, Any]  # settings by dotted name


def todays_record(leaves: Flat, settings: Collection[str]) -> dict[str, Any]:
    """A whole record with all of `settings`, whichever version wrote it; anything else as it is."""
    record = dict(leaves)
    before = {*settings} - LATER.keys()
    if record.keys() >= (before - ADDED) | {FIRST_RULE}:
        rule = record.pop(FIRST_RULE)
        rule = rule if _is_routed(record) else _rule_unasked(record)
        record = {"advantages": rule, "reward_penalty_on": _penalty_unasked(record), "eval.seed": OWN_SEED} | record
    if not record.keys() >= before:
        return record
    record = LATER | record
    return {name: _respelt(name, value, RULES, DETECTORS) for name, value in record.items()}


def first_record(flat: Flat) -> dict[str, Any]:
    """What the first version would have recorded, of which hashes are made, and beside it what it could not have said."""
    record = dict(flat)
    rule = record.pop("advantages")
    record[FIRST_RULE] = rule if _is_routed(flat) else "good_only"
    if not _is_routed(flat) and rule != _rule_unasked(flat):
        record["advantages"] = rule
    if record["reward_penalty_on"] == _penalty_unasked(flat):
        del record["reward_penalty_on"]
    if record["eval.seed"] == OWN_SEED:
        del record["eval.seed"]
    record = {name: value for name, value in record.items() if name not in LATER or value != LATER[name]}
    rules, detectors = ({new: old for old, new in words.items()} for words in (RULES, DETECTORS))
    return {name: _respelt(name, value, rules, detectors) for name, value in record.items()}


def _is_routed(flat: Flat) -> bool:
    return flat["routing.enabled"] and flat["routing.mode"] != "none"


def _rule_unasked(flat: Flat) -> str:
    """The rule of runs without routing, which could not be chosen."""
    return "good_only" if flat["baseline"] == "filter" else "group"


def _penalty_unasked(flat: Flat) -> str:
    """What its penalty was taken off; where there is none, what records hold then."""
    return "all" if flat["baseline"] == "reward_penalty" else "forget"


def _respelt(name: str, value: Any, rules: dict[str, str], detectors: dict[str, str]) -> Any:
    if name in ("advantages", FIRST_RULE):
        return rules.get(value, value)
    if name == "env.detector":
        return _call(value, detectors)
    if name == "reward" and isinstance(value, dict) and "hack" in value:
        return value | {"hack": _call(value["hack"], detectors)}
    return value


def _call(text: Any, names: dict[str, str]) -> Any:
    return re.sub(r"^\s*(\w+)", lambda word: names.get(word[1], word[1]), text) if isinstance(text, str) else text
