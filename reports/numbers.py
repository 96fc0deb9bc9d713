"""Numbers for pictures: curves thinned out to what a screen can show, and bands over the seeds of a configuration.

A value that was not computed is NaN in a frame and absent from a chart's row: it takes no part in a mean, and makes a gap.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from records.figures import task_reward
from records.names import BASE, RETAIN_ONLY, as_trained
from records.reader import Row, RunFiles, by_configuration
from records.relearning import THRESHOLD
from reports.tables import ordered, setting_text

POINTS = 100  # of a curve, and half as many where there are hundreds of curves
MANY_RUNS = 50
Frame = Any  # a pandas table or column, whose own annotations are unions of all that it might be


def points_of(runs: Sequence[RunFiles]) -> int:
    return POINTS if len(runs) <= MANY_RUNS else POINTS // 2


def bin_width(steps: Iterable[int], points: int = POINTS) -> int:
    """Steps that are drawn as one point: 1 as long as there are no more than `points` of them."""
    distinct = set(steps)
    return math.ceil((max(distinct) - min(distinct) + 1) / points) if len(distinct) > points else 1


def places(steps: Frame, points: int = POINTS) -> Frame:
    """Where each step is drawn: at itself, or where steps are drawn together in the middle of their bin."""
    width, first = bin_width(steps, points), steps.min()
    return first + (steps - first) // width * width + (width - 1) / 2


def rounded(value: float) -> float:
    """Four significant digits are more than a picture shows."""
    return float(f"{value:.4g}")


def chart_rows(frame: Frame) -> list[Row]:
    return [{name: value for name, value in row.items() if value == value} for row in frame.to_dict("records")]


def lettered(frame: Frame, letters: str) -> Frame:
    """With its columns named y0, y1, ..., and the same again for each further letter."""
    return frame.set_axis([f"{letter}{i}" for letter in letters for i in range(frame.shape[1] // len(letters))], axis=1)


def band_rows(frame: Frame, names: Sequence[str], keys: Sequence[str]) -> list[Row]:
    """One row for each value of `keys`: y0 is the mean of the first of `names`, y1 of the next, ...

    Where there are several values l0 and h0 are the smallest and the largest.
    """
    groups = frame.groupby([*keys])[[*names]]
    several = groups.count() > 1
    bands = pd.concat([groups.mean(), groups.min().where(several), groups.max().where(several)], axis=1)
    return chart_rows(lettered(bands, "ylh").dropna(how="all").map(rounded).reset_index())


def seed_rows(frame: Frame, names: Sequence[str], keys: Sequence[str]) -> list[Row]:
    """Bands over all seeds at each place (x), then each seed's own curve, with its number (s); both for each of `keys`."""
    seeds = frame.groupby([*keys, "s", "x"], as_index=False)[[*names]].mean()
    return [*band_rows(seeds, names, [*keys, "x"]), *band_rows(seeds, names, [*keys, "s", "x"])]


def seeds_of(runs: Sequence[RunFiles]) -> list[Any]:
    return ordered([run.seed for run in runs])


def run_numbers(runs: Sequence[RunFiles]) -> list[dict[str, int]]:
    """Of each run the number of its configuration (c) and of its seed (s), from 0."""
    groups, seeds = list(by_configuration(runs)), [setting_text(seed) for seed in seeds_of(runs)]
    return [{"c": groups.index(run.configuration), "s": seeds.index(setting_text(run.seed))} for run in runs]


def stacked(runs: Sequence[RunFiles], tables: Sequence[Any], names: Sequence[str], *texts: str) -> Frame:
    """The runs' `tables` under one another: `run_numbers`, the step, the figures `names`, and columns of text."""
    columns = ["step", *names, *texts, "c", "s"]
    numbered = zip(tables, run_numbers(runs), strict=True)
    frames = [pd.DataFrame(table, columns=columns).assign(**numbers) for table, numbers in numbered]
    frame = pd.concat(frames) if frames else pd.DataFrame(columns=columns)
    return frame.astype(dict.fromkeys(["step", *names], float) | {"c": int, "s": int})


def training_rows(runs: Sequence[RunFiles], names: Sequence[str]) -> list[Row]:
    """`seed_rows` of the columns `names` of metrics.jsonl, by configuration (c)."""
    frame = stacked(runs, [run.metrics for run in runs], names)
    return seed_rows(frame.assign(x=places(frame["step"], points_of(runs))), names, ["c"])


def with_step_zero(run: RunFiles) -> list[Row]:
    """A run's evaluations, and at step 0 the base's figures for every mode: before the first update they are the same policy.

    A run that went on from another's weights did not start as the base: it has nothing else than was evaluated.
    """
    starts = {row["mode"]: row for row in run.evaluations if row["step"] == 0}
    if BASE not in starts or run.config.get("continue_from"):
        return run.evaluations
    modes = dict.fromkeys(row["mode"] for row in run.evaluations)
    return [*(starts[BASE] | {"mode": mode} for mode in modes if mode not in starts), *run.evaluations]


def mode_rows(runs: Sequence[RunFiles], names: Sequence[str]) -> list[Row]:
    """As `training_rows`, of the evaluations during training, for each mode but the base (m); `policy` counts as `both`."""
    frame = stacked(runs, [with_step_zero(run) for run in runs], names, "mode")
    frame = frame.assign(x=places(frame["step"]), m=frame["mode"].map(as_trained))
    return seed_rows(frame[frame["m"] != BASE], names, ["c", "m"])


def relearning_rows(runs: Sequence[RunFiles]) -> list[Row]:
    """As `training_rows`, the hack rates of relearning.jsonl, for the base and any other start, here `retain_only` (m).

    A mean ends where the first of its seeds does: a later one would be of those that have not hacked again. Its first row has the
    mean threshold (y1).
    """
    tables = [[row | {THRESHOLD: run.final.get(row["start"], {}).get(THRESHOLD)} for row in run.relearning] for run in runs]
    frame = stacked(runs, tables, ["hacked", THRESHOLD], "start")
    x, start = frame["step"], frame["start"]
    frame[THRESHOLD] = frame[THRESHOLD].where(x == 0)
    frame = frame.assign(x=x, m=start.where(start == BASE, RETAIN_ONLY))
    ends = frame.groupby(["c", "m", "s"])["x"].transform("max").groupby([frame["c"], frame["m"]]).transform("min")
    means = band_rows(frame[frame["x"] <= ends], ["hacked", THRESHOLD], ["c", "m", "x"])
    return [*means, *band_rows(frame, ["hacked"], ["c", "m", "s", "x"])]


def end_rows(runs: Sequence[RunFiles]) -> list[Row]:
    """One row a configuration (c) and mode (m) of the final evaluation, n seeds, and again for each seed (s).

    x is the hack rate, `task` the task reward, `reward` and `rewards/NAME` what they are in evaluation.json. A mode without a
    hack rate has none.
    """
    ends = [
        {**numbers, "m": as_trained(mode), **_end(run, figures)}
        for run, numbers in zip(runs, run_numbers(runs), strict=True)
        for mode, figures in run.final.items()
        if figures.get("hacked") is not None
    ]
    if not ends:
        return []
    frame: Frame = pd.DataFrame(ends)
    groups = frame.drop(columns="s").groupby(["c", "m"])
    means = groups.mean().map(rounded).assign(n=groups.size())
    return [*chart_rows(means.reset_index()), *chart_rows(frame)]


def _end(run: RunFiles, figures: Row) -> Row:
    numbers = {"x": figures["hacked"], "task": task_reward(run.made_of, figures), "reward": figures["reward"]}
    numbers |= {name: v for name, v in figures.items() if name.startswith("rewards/") and not name.endswith("/interval")}
    return {name: rounded(value) for name, value in numbers.items() if value is not None}


def metric_frame(run: RunFiles, names: Sequence[str]) -> Frame:
    return pd.DataFrame(run.metrics, columns=["step", *names]).astype(float)


def run_rows(run: RunFiles, names: Sequence[str]) -> list[Row]:
    """A run's own curves: `band_rows` of the steps that are drawn at one place (x)."""
    return band_rows(metric_frame(run, names).assign(x=lambda frame: places(frame["step"])), names, ["x"])


def paired_rows(runs: Mapping[str, RunFiles], names: Sequence[str]) -> list[Row]:
    """Of runs by name: the means of each (r) at every place (x); of two also the second's less the first's (d0, d1, ...)."""
    frame: Frame = pd.concat([metric_frame(run, names).assign(r=r) for r, run in runs.items()])
    frame = frame.assign(x=places(frame["step"]))
    means = [frame[frame["r"] == r].groupby("x")[[*names]].mean() for r in runs]
    curves = [lettered(mean, "y").assign(r=r) for r, mean in zip(runs, means, strict=True)]
    differences = [lettered(means[1] - means[0], "d")] if len(means) == 2 else []
    return [row for table in (*curves, *differences) for row in chart_rows(table.reset_index())]
