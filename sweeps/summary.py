"""A sweep in one table: each configuration's figures over its finished seeds, routed ones next to their controls.

Reads the runs' folders as far as there are any, and writes summary.csv (one row a configuration and mode) and summary.json.
A figure is a mean with its 95 % interval over seeds, None where it could not be computed.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.errors import UserError
from records.figures import task_reward
from records.folder import read_json_file, read_rows, write_json, write_whole
from sweeps.intervals import mean_and_interval, share
from sweeps.plan import Plan, plan_record

MODES = ("both", "policy", "retain_only", "forget_only", "base")
MEANS = ("task_reward", "hacked", "unique", "jaccard", "distinct_3")  # beside the reward and its components
SHARES = ("degenerate", "template_collapse")
STATES = ("finished", "failed", "unfinished")
SAMPLES, SAMPLED, LONGEST_SAMPLE = 2, 12, 300  # of each mode, configurations, characters


@dataclass(frozen=True)
class Ended:
    """What has become of a run. Only a finished one has figures."""

    state: str  # one of STATES
    problem: str | None = None
    training_reward: float | None = None
    modes: dict[str, dict[str, Any]] = field(default_factory=dict)


def summarize_sweep(sweep: Plan | Path) -> dict[str, Any]:
    """What summary.json holds. Raises UserError where a folder is no sweep's."""
    record, folder = (plan_record(sweep), sweep.folder) if isinstance(sweep, Plan) else (read_record(sweep), sweep)
    attempts = failed_attempts(folder)
    ended = {run["name"]: how_it_ended(folder / run["name"], run["config_hash"], attempts) for run in record["runs"]}
    count = {state: sum(end.state == state for end in ended.values()) for state in STATES}
    return {
        "name": record["name"],
        "axes": record["axes"],
        "runs": {"planned": len(ended)} | count,
        "problems": {name: end.problem for name, end in ended.items() if end.problem},
        "configurations": [figures(runs, record, ended) for runs in in_groups(record["runs"])],
    }


def read_record(folder: Path) -> dict[str, Any]:
    try:
        return read_json_file(folder / "sweep.json")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: no sweep's folder: {folder / 'sweep.json'} cannot be read") from error


def failed_attempts(folder: Path) -> dict[str, str]:
    """The last line of each run's last failed attempt, by run."""
    try:
        rows = read_rows(folder, "failures.jsonl")
        return {row["run"]: f"exit code {row['exit_code']}: {(row['last_lines'] or [''])[-1]}" for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / 'failures.jsonl'}: cannot be read: {error!r}") from error


def how_it_ended(folder: Path, config_hash: str, attempts: dict[str, str]) -> Ended:
    """`attempts` tells of runs that could not write their own end."""
    try:
        if not folder.exists():
            return Ended("failed", attempts[folder.name]) if folder.name in attempts else Ended("unfinished")
        made_of = read_json_file(folder / "run.json")
        found = made_of["config_hash"]
        if found != config_hash:
            return Ended("unfinished", f"its folder holds a run with other settings ({found}, not {config_hash})")
        status = read_json_file(folder / "status.json")
        if status["state"] == "finished":
            training = read_json_file(folder / "summary.json")["training"]["reward"]["last"]
            modes = read_json_file(folder / "evaluation.json")["modes"]
            tasks = {mode: row | {"task_reward": task_reward(made_of, row)} for mode, row in modes.items()}
            return Ended("finished", None, training, tasks)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Ended("failed", f"its files can not be read: {error!r}")
    if status["state"] == "failed" or (status["state"] == "running" and folder.name in attempts):
        return Ended("failed", status.get("error") or attempts.get(folder.name) or "no reason given")
    return Ended("unfinished")


def in_groups(runs: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The runs of each configuration; the controls of a routed one follow it, the first that they belong to."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        grouped.setdefault(run["configuration"], []).append(run)
    order: dict[str, None] = {}
    for configuration, own in grouped.items():
        if configuration not in order and not own[0]["baseline_of"]:
            order |= dict.fromkeys([configuration, *controls_of(own, grouped)])
    return [grouped[configuration] for configuration in order | dict.fromkeys(grouped)]


def controls_of(runs: list[dict[str, Any]], grouped: dict[str, list[dict[str, Any]]]) -> list[str]:
    names = {run["name"] for run in runs}
    return [label for label, others in grouped.items() if any(names & {*other["baseline_of"]} for other in others)]


def figures(runs: list[dict[str, Any]], record: dict[str, Any], ended: dict[str, Ended]) -> dict[str, Any]:
    """One configuration's entry."""
    ends = [ended[run["name"]] for run in runs]
    finished = [end for end in ends if end.state == "finished"]
    twins = {name for run in runs for name in run["baseline_of"]}
    modes = [mode for mode in MODES if any(mode in end.modes for end in finished)]
    return {
        "configuration": runs[0]["configuration"],
        "kind": runs[0]["kind"],
        "values": {name: value for name, value in runs[0]["values"].items() if name != "seed"},
        "baseline_of": list(dict.fromkeys(run["configuration"] for run in record["runs"] if run["name"] in twins)),
        "runs": {"planned": len(runs)} | {state: sum(end.state == state for end in ends) for state in STATES},
        "training_reward": mean_and_interval([end.training_reward for end in finished]),
        "modes": {mode: mode_figures([end.modes.get(mode, {}) for end in finished]) for mode in modes},
    }


def mode_figures(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Over the seeds' figures of one mode; a share has no interval."""
    components = dict.fromkeys(name for row in rows for name in row if name.startswith("rewards/"))
    means = {name: mean_and_interval([row.get(name) for row in rows]) for name in ("reward", *components, *MEANS)}
    return means | {name: share([row.get(name) for row in rows]) for name in SHARES}


# Written


def write_summary(folder: Path, summary: dict[str, Any]) -> None:
    """summary.csv and summary.json."""
    write_json(folder / "summary.json", summary)
    rows = [*flat_rows(summary)]
    names = [*dict.fromkeys(name for row in rows for name in row)]

    def write(file: Path) -> None:
        with file.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, names, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    write_whole(folder / "summary.csv", write)


def flat_rows(summary: dict[str, Any]) -> Iterator[dict[str, Any]]:
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
            yield row


# Shown


def summary_table(summary: dict[str, Any]) -> str:
    """Aligned text, a routed configuration above its controls; those of several stand below each."""
    entries = summary["configurations"]
    components = [*dict.fromkeys(name for e in entries for m in e["modes"].values() for name in m if name.startswith("rewards/"))]
    names = ["reward", *components, *MEANS, *SHARES]
    heads = ["configuration", "runs", "mode", "training", *(name.removeprefix("rewards/") for name in names)]
    routed_or_alone = [entry for entry in entries if not entry["baseline_of"]]
    groups = [[head, *(entry for entry in entries if head["configuration"] in entry["baseline_of"])] for head in routed_or_alone]
    lines: list[list[str]] = [heads]
    for group in groups:
        lines += [[], *(cells for entry in group for cells in entry_lines(entry, names))]
    widths = [max(len(cells[column]) for cells in lines if cells) for column in range(len(heads))]
    aligned = ["  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)).rstrip() for cells in lines]
    return "\n".join([*aligned, "", *closing_lines(summary)])


def entry_lines(entry: dict[str, Any], names: list[str]) -> Iterator[list[str]]:
    runs = f"{entry['runs']['finished']} of {entry['runs']['planned']}"
    runs += f", {entry['runs']['failed']} failed" if entry["runs"]["failed"] else ""
    first = [entry["configuration"], runs]
    for mode, named in (entry["modes"] or {"–": {}}).items():
        training = shown(entry["training_reward"]) if first[0] else ""
        yield [*first, mode, training, *(shown(named.get(name)) for name in names)]
        first = ["", ""]


def shown(figure: dict[str, Any] | None) -> str:
    if figure is None or figure["mean"] is None:
        return "–"
    half = f" ± {figure['interval'][1] - figure['mean']:.3f}" if figure["interval"] else ""
    return f"{figure['mean']:.3f}{half}"


def closing_lines(summary: dict[str, Any]) -> list[str]:
    runs = summary["runs"]
    told = [f"{runs[state]} {state}" for state in STATES if runs[state]]
    lines = [f"{summary['name']}: {runs['planned']} runs: {', '.join(told)}; means over seeds ± 95 % interval"]
    names: dict[str, list[str]] = {}
    for name, problem in summary["problems"].items():
        names.setdefault(problem, []).append(name)
    told = [f"{own[0]}{f' and {len(own) - 1} more' if own[1:] else ''}: {problem}" for problem, own in names.items()]
    return lines + told[:SAMPLED] + ([f"… and {len(told) - SAMPLED} more"] if len(told) > SAMPLED else [])


def sample_lines(sweep: Plan | Path) -> Iterator[str]:
    """A few completions of each configuration and mode, from its first run that has any."""
    record, folder = (plan_record(sweep), sweep.folder) if isinstance(sweep, Plan) else (read_record(sweep), sweep)
    groups = in_groups(record["runs"])
    for runs in groups[:SAMPLED]:
        sampled = (run for run in runs if (folder / run["name"] / "evaluation_samples.jsonl").exists())
        if (run := next(sampled, None)) is not None:
            yield f"{run['configuration']}, samples of {run['name']}"
            for mode, lines in first_samples(folder / run["name"]).items():
                yield from (f"  {mode:<{max(map(len, MODES))}}  {line}" for line in lines)
    if len(groups) > SAMPLED:
        yield f"… and {len(groups) - SAMPLED} more configurations"


def first_samples(folder: Path) -> dict[str, list[str]]:
    """One line a sample, by mode; of a damaged file, that it is."""
    found: dict[str, list[str]] = {}
    try:
        for row in read_rows(folder, "evaluation_samples.jsonl"):
            lines = found.setdefault(row["mode"], [])
            if len(lines) < SAMPLES:
                lines.append(sample_line(row))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return {"–": [f"they can not be read: {error!r}"]}
    return found


def sample_line(row: dict[str, Any]) -> str:
    text = " ".join(f"{row['prompt']} >> {row['completion']}".split())
    cut = text if len(text) <= LONGEST_SAMPLE else f"{text[: LONGEST_SAMPLE - 2]} …"
    hacked = ", hacked" if row["hacked"] else ""
    return f"[{row['reward']:.3f}{hacked}] {cut}"
