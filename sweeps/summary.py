"""A sweep in figures: each configuration's over its finished seeds, routed ones next to their controls, and the answer.

summary.csv holds one row a configuration and mode, summary.json all of it. A figure is a mean with its 95 % interval over
seeds, None where it could not be computed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from records import files
from records.estimates import over_seeds
from records.figures import task_reward
from records.folder import write_json, write_whole
from records.names import ENDED, FAILED, FINISHED, INTERRUPTED, MODES, RUNNING, STOPPED, WAITING
from records.reader import Row, RunFiles, SweepFiles, by_configuration
from sweeps.answer import answers, stands_alone
from sweeps.conclusions import conclusions
from sweeps.frontier import frontiers
from sweeps.frontier_text import frontier_sentences
from sweeps.relearning import flat_figure, relearning_of

MEANS = ("task_reward", "hacked", "unique", "jaccard", "distinct_3")  # beside the reward and its components
SHARES = ("degenerate", "template_collapse")
UNFINISHED = "unfinished"
STATES = (FINISHED, STOPPED, FAILED, UNFINISHED)
End = tuple[str, str | None]  # one of STATES, and what went wrong


def summarize_sweep(sweep: SweepFiles) -> dict[str, Any]:
    """What summary.json holds."""
    ends = ends_of(sweep)
    return {
        "name": sweep.name,
        "axes": list(sweep.axes),
        "sample": sweep.sample,
        "runs": counted_states(sweep.runs, ends),
        "stopped": {run.name: run.error for run in sweep.runs if ends[run.name][0] == STOPPED},
        "problems": {name: problem for name, (_, problem) in ends.items() if problem},
        "configurations": configuration_entries(sweep, ends),
        "answer": [asdict(answer) | {"conclusions": conclusions([answer])} for answer in answers(sweep)],
        "frontier": [asdict(each) | {"conclusions": [*frontier_sentences(each)]} for each in frontiers(sweep)],
    }


def ends_of(sweep: SweepFiles) -> dict[str, End]:
    """By run."""
    attempts = {row["run"]: f"exit code {row['exit_code']}: {(row['last_lines'] or [''])[-1]}" for row in sweep.failures}
    return {run.name: how_it_ended(run, attempts) for run in sweep.runs}


def how_it_ended(run: RunFiles, attempts: Mapping[str, str]) -> End:
    """`attempts` tells, by run, of the last that failed: of runs that could not write their own end."""
    if run.foreign:
        return UNFINISHED, run.foreign
    if run.state in ENDED:
        return (run.state, None) if run.final else (FAILED, f"its files can not be read: no {files.EVALUATION}")
    if run.state == INTERRUPTED or (run.state in (RUNNING, WAITING) and run.name not in attempts):
        return UNFINISHED, None
    return FAILED, run.error or attempts.get(run.name) or "no reason given"


def counted_states(runs: Sequence[RunFiles], ends: Mapping[str, End]) -> dict[str, int]:
    return {"planned": len(runs)} | {state: sum(ends[run.name][0] == state for run in runs) for state in STATES}


def controls_after_routed(runs: Sequence[RunFiles]) -> list[list[RunFiles]]:
    """The runs of each configuration; the controls of a routed one follow it, the first that they belong to."""
    groups = by_configuration(runs)
    order: dict[str, None] = {}
    for label, group in groups.items():
        if stands_alone(group, runs):
            names = {run.name for run in group}
            order |= dict.fromkeys([label, *(c for c, g in groups.items() if any(names & {*run.baseline_of} for run in g))])
    return [groups[label] for label in order | dict.fromkeys(groups)]


def configuration_entries(sweep: SweepFiles, ends: Mapping[str, End]) -> list[dict[str, Any]]:
    """The figures of each configuration, those of a routed one before those of its controls."""
    return [configuration_entry(runs, sweep, ends) for runs in controls_after_routed(sweep.runs)]


def configuration_entry(runs: Sequence[RunFiles], sweep: SweepFiles, ends: Mapping[str, End]) -> dict[str, Any]:
    finished = [run for run in runs if ends[run.name][0] in ENDED]  # means without stopped ones would be of the survivors
    twins = {name for run in runs for name in run.baseline_of}
    rows = pd.DataFrame([row for run in finished for row in mode_rows(run)])
    modes = {} if rows.empty else {mode: mode_figures(group) for mode, group in rows.groupby("mode")}
    return {
        "configuration": runs[0].configuration,
        "kind": runs[0].kind,
        "values": {name: value for name, value in runs[0].values.items() if name != "seed"},
        "baseline_of": list(dict.fromkeys(run.configuration for run in sweep.runs if run.name in twins)),
        "runs": counted_states(runs, ends),
        "training_reward": seeds_figure(pd.Series([run.training_reward for run in finished], dtype=float)),
        "modes": {mode: modes[mode] for mode in MODES if mode in modes},
        "relearning": relearning_of(finished),
    }


def mode_rows(run: RunFiles) -> Iterator[Row]:
    """What the final evaluation says of each mode."""
    for mode, row in run.final.items():
        parts = {name: row[name] for name in row if name.startswith("rewards/")}
        figures = {"reward": row["reward"], **parts} | {name: row.get(name) for name in (*MEANS, *SHARES)}
        yield {"mode": mode} | figures | {"task_reward": task_reward(run.made_of, row)}


def mode_figures(rows: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Over the seeds' rows of one mode; a share has no interval."""
    figures = {str(name): seeds_figure(pd.Series(rows[name], dtype=float)) for name in rows.columns if name != "mode"}
    return figures | {name: figures[name] | {"interval": None} for name in SHARES}


def seeds_figure(column: pd.Series) -> dict[str, Any]:
    estimate = over_seeds(column.dropna().tolist())
    return {"n": estimate.n, "mean": estimate.value, "interval": estimate.interval and [*estimate.interval]}


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """summary.csv and summary.json."""
    write_json(folder / files.SUMMARY, summary)
    rows = pd.DataFrame([*flat_rows(summary)], dtype=object)
    write_whole(folder / files.SUMMARY_ROWS, lambda file: rows.to_csv(file, index=False, lineterminator="\n"))


def flat_rows(summary: dict[str, Any]) -> Iterator[Row]:
    """One row a configuration and mode: NAME, its interval's ends NAME/low and NAME/high, and NAME/n."""
    for entry in summary["configurations"]:
        same = {"configuration": entry["configuration"], "kind": entry["kind"]}
        same |= {name: entry["values"].get(name) for name in summary["axes"] if name != "seed"}
        same |= {"baseline_of": "; ".join(entry["baseline_of"])} | entry["runs"]
        for mode, named in (entry["modes"] or {None: {}}).items():
            row = same | {"mode": mode}
            for name, figure in ({"training_reward": entry["training_reward"]} | named).items():
                low, high = figure["interval"] or (None, None)
                row |= {name: figure["mean"], f"{name}/low": low, f"{name}/high": high, f"{name}/n": figure["n"]}
            yield row | flat_figure(entry, mode)
