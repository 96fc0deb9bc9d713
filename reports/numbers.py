"""Numbers for pictures: curves thinned out to what a screen can show, and bands over the seeds of a configuration.

A value that was not computed is None and takes no part in a mean; where there is none at all there is a gap.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from records.figures import task_reward
from records.reader import RunFiles

POINTS = 100  # of a curve, and half as many where there are hundreds of curves
MANY_RUNS = 50
WINDOW = 20  # steps that "at the end of training" means
MODES = ("both", "policy", "retain_only", "forget_only", "base")
Curve = dict[float, float]  # by step


def bin_width(steps: Iterable[int], points: int = POINTS) -> int:
    """Steps that are drawn as one point: 1 as long as there are no more than `points` of them."""
    distinct = set(steps)
    return math.ceil((max(distinct) - min(distinct) + 1) / points) if len(distinct) > points else 1


def points_of(runs: Sequence[RunFiles]) -> int:
    return POINTS if len(runs) <= MANY_RUNS else POINTS // 2


def places(steps: Iterable[int], points: int = POINTS) -> dict[int, float]:
    """Where each step is drawn: at itself, or where steps are drawn together in the middle of their bin."""
    distinct = sorted(set(steps))
    if not distinct:
        return {}
    width, first = bin_width(distinct, points), distinct[0]
    return {step: first + (step - first) // width * width + (width - 1) / 2 for step in distinct}


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def grouped(steps: Iterable[int], values: Iterable[float | None], where: Mapping[int, float]) -> dict[float, list[float]]:
    """The values that there are, by the place that they are drawn at."""
    groups: dict[float, list[float]] = defaultdict(list)
    for step, value in zip(steps, values, strict=True):
        if value is not None:
            groups[where[step]].append(value)
    return groups


def thinned(steps: Iterable[int], values: Iterable[float | None], where: Mapping[int, float]) -> Curve:
    return {place: mean(group) for place, group in grouped(steps, values, where).items()}


def short(value: float) -> float:
    """Four significant digits are more than a picture shows."""
    return float(f"{value:.4g}")


def point(key: Any, values: Sequence[float]) -> dict[str, float]:
    """A mean, y, and where there are several values their smallest and largest, l and h."""
    if len(values) < 2:
        return {f"y{key}": short(value) for value in values}
    return {f"y{key}": short(mean(values)), f"l{key}": short(min(values)), f"h{key}": short(max(values))}


def band_rows(series: Sequence[Sequence[Curve]], **same: Any) -> list[dict[str, Any]]:
    """Rows x, y0, l0, h0, y1, ...: each of `series` is one quantity, as one curve a seed."""
    every = sorted({place for curves in series for curve in curves for place in curve})
    rows = []
    for place in every:
        row = same | {"x": place}
        for i, curves in enumerate(series):
            row |= point(i, [curve[place] for curve in curves if place in curve])
        rows.append(row)
    return rows


def seed_rows(series: Sequence[Sequence[Curve]], seeds: Sequence[int], **same: Any) -> list[dict[str, Any]]:
    """As `band_rows` over all seeds, then each seed's own curves, with its number as s."""
    rows = band_rows(series, **same)
    for i, seed in enumerate(seeds):
        rows += band_rows([[curves[i]] for curves in series], **same, s=seed)
    return rows


def configurations(runs: Sequence[RunFiles]) -> dict[str, list[RunFiles]]:
    """Runs that differ in nothing but the seed, by their label, in the plan's order."""
    found: dict[str, list[RunFiles]] = {}
    for run in runs:
        found.setdefault(run.configuration, []).append(run)
    return found


def training_rows(runs: Sequence[RunFiles], names: Sequence[str], seeds: Mapping[str, int]) -> list[dict[str, Any]]:
    """One row a configuration (c) and place (x), and again for each seed (s): y0 is the first of `names`, y1 the next."""
    where = places((step for run in runs for step in run.metrics.get("step", [])), points_of(runs))
    rows = []
    for c, group in enumerate(configurations(runs).values()):
        series = [[_metric(run, name, where) for run in group] for name in names]
        rows += seed_rows(series, [seeds[run.name] for run in group], c=c)
    return rows


def _metric(run: RunFiles, name: str, where: Mapping[int, float]) -> Curve:
    return thinned(run.metrics["step"], run.metrics[name], where) if name in run.metrics else {}


def mode_rows(runs: Sequence[RunFiles], names: Sequence[str], seeds: Mapping[str, int]) -> list[dict[str, Any]]:
    """As `training_rows`, of the evaluations during training, for each mode (m); `policy` counts as `both`."""
    where = places(row["step"] for run in runs for row in run.evaluations)
    rows = []
    for c, group in enumerate(configurations(runs).values()):
        for mode in ("both", "retain_only", "forget_only"):
            series = [[_evaluated(run, mode, name, where) for run in group] for name in names]
            rows += seed_rows(series, [seeds[run.name] for run in group], c=c, m=mode)
    return rows


def _evaluated(run: RunFiles, mode: str, name: str, where: Mapping[int, float]) -> Curve:
    rows = [row for row in run.evaluations if as_trained(row["mode"]) == mode]
    return thinned([row["step"] for row in rows], [row[name] for row in rows], where)


def as_trained(mode: str) -> str:
    """A policy without retain and forget stands where both adapters are on."""
    return "both" if mode == "policy" else mode


def end_rows(runs: Sequence[RunFiles], seeds: Mapping[str, int]) -> list[dict[str, Any]]:
    """One row a configuration and mode of the final evaluation, and again for each seed (s).

    x is the hack rate, `task` the task reward, `reward` and `rewards/NAME` what they are in evaluation.json.
    """
    rows = []
    for c, group in enumerate(configurations(runs).values()):
        for mode in ("both", "retain_only", "forget_only", "base"):
            ends = [end for run in group if (end := _end(run, mode))]
            if ends:
                rows.append(_mean_row(ends) | {"c": c, "m": mode, "n": len(ends)})
            rows += [end | {"c": c, "m": mode, "s": seeds[run.name]} for run in group if (end := _end(run, mode))]
    return rows


def _end(run: RunFiles, mode: str) -> dict[str, float]:
    figures = next((figures for name, figures in run.final.items() if as_trained(name) == mode), None)
    if figures is None or figures.get("hacked") is None:
        return {}
    numbers = {"x": figures["hacked"], "task": task_reward(run.made_of, figures), "reward": figures["reward"]}
    numbers |= {n: v for n, v in figures.items() if n.startswith("rewards/") and not n.endswith("/interval")}
    return {name: short(value) for name, value in numbers.items() if value is not None}


def _mean_row(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: short(mean([row[name] for row in rows if name in row])) for name in names}


def at_the_end(run: RunFiles, name: str) -> float | None:
    """Mean of the last `WINDOW` steps so far, as summary.json has it."""
    values = [value for value in run.metrics.get(name, [])[-WINDOW:] if value is not None]
    return mean(values) if values else None
