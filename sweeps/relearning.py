"""What a sweep says of relearning: how many steps each configuration takes until it hacks again, over its seeds.

A seed that has not hacked again within its steps has no number of them: its configuration has no mean then, but a count of those
that have. To leave it out would choose among the seeds by their outcome.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from records.estimates import over_seeds
from records.figures import cell, mean, whole_mean
from records.names import BASE, MODES
from records.reader import RunFiles
from records.relearning import MOST_STEPS, STEPS, THRESHOLD
from records.text import plain_table, text_of

HEADER = ("start", "steps until it hacks again", "seeds", "at the hack rate", "less the base's, by seed")
DIFFERENCE = "difference"  # of a policy and the base, paired by seed
Figure = dict[str, Any]
UNKNOWN: Figure = {"n": 0, "mean": None, "interval": None}


def relearning_of(runs: Sequence[RunFiles]) -> dict[str, Figure]:
    """Of a configuration's evaluated runs by start, and the policy's steps less the base's; {} where none was relearnt."""
    measured = [{start: row for start, row in run.final.items() if row.get(MOST_STEPS) is not None} for run in runs]
    starts = [start for start in MODES if any(start in rows for rows in measured)]
    figures = {start: start_figure([rows[start] for rows in measured if start in rows]) for start in starts}
    if len(starts) != 2:
        return figures
    policy = next(start for start in starts if start != BASE)
    pairs = [(rows.get(policy, {}).get(STEPS), rows.get(BASE, {}).get(STEPS)) for rows in measured if rows]
    return figures | {DIFFERENCE: whole_figure([None if one is None or base is None else one - base for one, base in pairs])}


def start_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The mean of all seeds' steps, or none; how many `relearnt` of those `tried` within at most so many steps."""
    tried = [row for row in rows if row[THRESHOLD] is not None]
    counts = {"seeds": len(rows), "tried": len(tried), "relearnt": sum(row[STEPS] is not None for row in tried)}
    most, threshold = max((row[MOST_STEPS] for row in tried), default=None), mean([row[THRESHOLD] for row in tried])
    return whole_figure([row[STEPS] for row in rows]) | counts | {"within": most, "threshold": threshold}


def whole_figure(steps: Sequence[int | None]) -> Figure:
    """Over all seeds; None where one of them has no number."""
    if not steps or whole_mean(steps) is None:
        return UNKNOWN
    estimate = asdict(over_seeds(steps))
    return {"n": estimate["n"], "mean": estimate["value"], "interval": estimate["interval"] and [*estimate["interval"]]}


def counts_text(figure: Figure) -> str:
    """2 of 3 within 100; of seeds that were not tried, since they had learnt nothing, so many."""
    untried = figure["seeds"] - figure["tried"]
    within = [f"{figure['relearnt']} of {figure['tried']} within {figure['within']}"] if figure["tried"] else []
    return ", ".join([*within, *([f"{untried} had learnt nothing"] if untried else [])])


def steps_cell(figure: Figure) -> str:
    """The mean with its interval, or what there is instead."""
    if figure["mean"] is None:
        return counts_text(figure) if "seeds" in figure else cell(None)
    low, high = figure["interval"] or (None, None)
    return f"{figure['mean']:.1f}" + ("" if low is None else f" [{low:.1f}, {high:.1f}]")


def relearning_rows(figures: Mapping[str, Figure]) -> Iterator[tuple[str, ...]]:
    """Of a configuration, under `HEADER`."""
    for start, figure in figures.items():
        if start != DIFFERENCE:
            less = "" if start == BASE or DIFFERENCE not in figures else steps_cell(figures[DIFFERENCE])
            yield start, steps_cell(figure), str(figure["seeds"]), cell(figure["threshold"]), less


def relearning_text(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table; nothing where no run has relearnt."""
    table = plain_table("relearning", *HEADER)
    for entry in entries:
        for row in relearning_rows(entry["relearning"]):
            table.add_row(entry["configuration"], *row)
    return [text_of(table), ""] if table.row_count else []


def flat_figure(entry: Mapping[str, Any], mode: str | None) -> dict[str, Any]:
    """Columns of summary.csv for a mode; {} where it is no start."""
    if mode is None or mode not in entry["relearning"]:
        return {}
    figure = entry["relearning"][mode]
    low, high = figure["interval"] or (None, None)
    ends = {STEPS: figure["mean"], f"{STEPS}/low": low, f"{STEPS}/high": high, f"{STEPS}/n": figure["n"]}
    return ends | {"relearnt": counts_text(figure), THRESHOLD: figure["threshold"]}
