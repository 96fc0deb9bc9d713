"""A sweep as a command line asks for it: `--grid NAME=VALUE,VALUE` and `--fixed NAME=VALUE` over a base experiment, and the arms
of a YAML file.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import yaml

from configs.cli import parse_value, split_at_commas
from configs.errors import UserError
from configs.experiment import Experiment
from configs.resolve import flatten, with_setting
from configs.sweep import Arms, Sweep, parsed_arms, parsed_axis, parsed_value, refuse_varied

Words = Sequence[Sequence[str]]
RANGE = re.compile(r"([+-]?\d+)\.\.([+-]?\d+)(?:\.\.(\d+))?")
LONGEST_RANGE = 1_000  # values: more are a slip of the keyboard


def sweep_from_words(
    file: Sweep, name: str, base: Experiment, grid: Words, fixed: Words, named: Collection[str], arms: str | None = None
) -> Sweep:
    """The sweep of a `file` called `name` (or an empty one), with `base` and the words over it, and `arms` in YAML.

    `named` are the settings that have an option of their own among the words. Raises UserError.
    """
    ranges = name_value_pairs("--grid", grid, "VALUE,VALUE")
    axes = {key: parsed_axis("--grid", key, values_of(key, text)) for key, text in ranges.items()}
    pairs = name_value_pairs("--fixed", fixed, "VALUE")
    values = {key: parsed_value("--fixed", key, text) for key, text in pairs.items()}
    for key in [key for key in axes if key in file.grid]:
        raise UserError(f"--grid {key}: {name} varies it, too")
    refuse_contradictions(dict.fromkeys(file.grid, name) | dict.fromkeys(axes, "--grid"), values, named, flatten(base))
    for key, value in values.items():
        base = with_setting(base, key, value)
    if base.overwrite:
        raise UserError("--overwrite: not in a sweep, which keeps what is finished; remove its folder to start anew")
    if base.wandb.group:
        raise UserError(f"--wandb.group {base.wandb.group}: a sweep's runs have its name as their group; see --name")
    whole = {**file.grid} | axes
    together = arms_over(file, name, arms, whole)
    fixed_by_words = frozenset({*named, *values})
    return replace(file, base=base, grid=whole, arms=together, named=fixed_by_words | axes.keys(), fixed=fixed_by_words)


def arms_over(file: Sweep, name: str, text: str | None, grid: Collection[str]) -> Arms:
    """The file's arms, or those of a text in YAML. Raises UserError."""
    if text is not None and file.arms:
        raise UserError(f"arms: {name} has arms, too")
    if text is None:
        refuse_varied(file.arms, grid)
    return file.arms if text is None else parsed_arms(yaml.safe_load(text), grid)


def values_of(name: str, text: str) -> list[Any]:
    """The values between the commas of an axis, ranges spelt out. Raises UserError."""
    parts = split_at_commas(text)
    if not any(".." in part for part in parts) or not (kind := kind_of_number(name)):
        return parts
    return [*chain.from_iterable(range_of(f"--grid {name}={part}", part, kind) if ".." in part else [part] for part in parts)]


def kind_of_number(name: str) -> type | None:
    """int or float; None for settings that are no numbers, whose values may hold dots: `../model`."""
    try:
        kind = type(parse_value(name, "1"))
    except UserError:  # said when the values are read
        return None
    return kind if kind in (int, float) else None


def range_of(word: str, text: str, kind: type) -> range:
    """`1..5` with both ends, `0..100..20` in steps. Raises UserError."""
    match = RANGE.fullmatch(text)
    if kind is float:
        raise UserError(f"{word}: a range is of whole numbers; list the values")
    first, last, step = (int(match[1]), int(match[2]), int(match[3] or 1)) if match else (0, -1, 0)
    if last < first or step < 1:
        raise UserError(f"{word}: a range is FIRST..LAST or FIRST..LAST..STEP, of whole numbers, the first the lowest")
    values = range(first, last + 1, step)
    if len(values) > LONGEST_RANGE:
        raise UserError(f"{word}: {len(values):,} values; a range has at most {LONGEST_RANGE:,}")
    return values


def name_value_pairs(option: str, groups: Words, form: str) -> dict[str, str]:
    """{name: text} of NAME=TEXT words. Raises UserError for other words and a name that comes twice."""
    if not all(groups):
        raise UserError(f"{option}: a value is missing")
    texts: dict[str, str] = {}
    for word in chain.from_iterable(groups):
        name, sign, text = word.partition("=")
        name = name.strip().replace("-", "_")
        if not sign or not all(split_at_commas(text) or [""]):
            raise UserError(f"{option} {word}: must be NAME={form}")
        if name in texts:
            raise UserError(f"{option} {word}: {name} stands there twice")
        texts[name] = text
    return texts


def refuse_contradictions(
    varied_by: Mapping[str, str], fixed: Mapping[str, Any], named: Collection[str], base: Mapping[str, Any]
) -> None:
    """Raises UserError for a setting that is both varied and fixed, or has two values. `base` has all by dotted name."""
    for name, value in fixed.items():
        if name in varied_by:
            raise UserError(f"--fixed {name}={value}: {varied_by[name]} varies it")
        if name in named and base[name] != value:
            raise UserError(f"--fixed {name}={value}: contradicts --{name} {base[name]}")
    for name in sorted(varied_by.keys() & {*named}):
        raise UserError(f"--{name} {base[name]}: {varied_by[name]} varies it")
