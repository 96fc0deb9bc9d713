"""What a sweep's page says: its sections, and the dropdowns that all of its charts follow."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from records.reader import Row, RunFiles, SweepFiles
from reports.charts import COLOURS, Dropdown, Panel, curves_spec, modes_spec
from reports.numbers import (
    MANY_RUNS,
    bin_width,
    configurations,
    end_rows,
    mode_rows,
    points_of,
    training_rows,
)
from reports.pareto import mode_dropdown, pareto_spec, task_dropdown
from reports.tables import (
    SAMPLES_OF_A_MODE,
    Samples,
    Table,
    cost_table,
    label,
    results_table,
    samples_of,
    shortened,
    title,
    total_cost,
)

TRAINING = {"reward": ("Reward in training", "mean reward"), "routing/hacked": ("Hack rate in training", "share of samples"),
            "kl": ("KL to the reference", "nats a token")}  # fmt: skip
EVALUATED = {"reward": "mean reward", "hacked": "hack rate (share of samples)"}


@dataclass(frozen=True)
class Section:
    """A part of the page. `missing` says what is not there instead of a chart or a table."""

    name: str
    title: str
    note: str = ""
    chart: dict[str, Any] | None = None
    table: Table | None = None
    folded: str = ""  # what stands on a table that is closed at first
    dropdowns: Sequence[Dropdown] = ()
    samples: Sequence[tuple[str, Samples]] = ()
    failures: Sequence[Mapping[str, str]] = ()
    missing: str = ""


def training_panels() -> list[Panel]:
    share = {"routing/hacked": (0.0, 1.0)}
    return [Panel(i, *TRAINING[name], domain=share.get(name)) for i, name in enumerate(TRAINING)]


def values_of(run: RunFiles, axes: Sequence[str]) -> dict[str, Any]:
    return {axis: run.values.get(axis) for axis in axes}


def _ordered(values: Sequence[Any]) -> list[Any]:
    """Distinct ones; numbers by size, then texts, then what is missing."""
    distinct = list({label(value): value for value in values}.values())
    numeric = [value for value in distinct if isinstance(value, int | float) and not isinstance(value, bool)]
    return sorted(numeric) + sorted((value for value in distinct if value not in numeric), key=lambda v: (v is None, label(v)))


def choices(sweep: SweepFiles) -> dict[str, list[Any]]:
    """The values of every axis that varies, beside the seed."""
    found = {axis: _ordered([run.values.get(axis) for run in sweep.runs]) for axis in sweep.axes if axis != "seed"}
    return {axis: values for axis, values in found.items() if len(values) > 1}


def seeds_of(runs: Sequence[RunFiles]) -> list[Any]:
    return _ordered([run.seed for run in runs])


def seed_numbers(runs: Sequence[RunFiles]) -> dict[str, int]:
    """Which seed a run has, by its name; seeds are counted from 0."""
    order = [label(seed) for seed in seeds_of(runs)]
    return {run.name: order.index(label(run.seed)) for run in runs}


def dropdowns(sweep: SweepFiles) -> list[Dropdown]:
    """What curves are coloured by, then a filter for everything that varies; an option's value is its place in its axis."""
    varying, kinds = choices(sweep), _kinds(sweep.runs)
    axes = [(f"value{i}", axis) for i, axis in enumerate(varying)]
    several = [("kind", "kind of run")] if len(kinds) > 1 else []
    names = [("name", "configuration")]
    few = len(configurations(sweep.runs)) <= len(COLOURS)
    colours = [*names, *several, *axes] if few else [*several, *axes, *names]
    filters = [("filterkind", "kind of run", kinds)] if several else []
    filters += [(f"filter{i}", axis, values) for i, (axis, values) in enumerate(varying.items())]
    if len(seeds_of(sweep.runs)) > 1:
        filters.append(("seed", "seed", seeds_of(sweep.runs)))
    made = [Dropdown("colour", "colour by", tuple(colours))]
    for name, axis, values in filters:
        every = "all, as a band" if name == "seed" else "all"
        made.append(Dropdown(name, axis, (("", every), *((str(i), shortened(label(v), 40)) for i, v in enumerate(values)))))
    return made


def _kinds(runs: Sequence[RunFiles]) -> list[str]:
    return list(dict.fromkeys(run.kind for run in runs))


def configuration_table(sweep: SweepFiles) -> list[dict[str, Any]]:
    """One row a configuration (c): its label, kind and values, and each value's place in its axis."""
    varying, kinds = choices(sweep), _kinds(sweep.runs)
    rows = []
    for c, (name, runs) in enumerate(configurations(sweep.runs).items()):
        row = {"c": c, "name": name, "kind": runs[0].kind, "filterkind": kinds.index(runs[0].kind)}
        for i, (axis, values) in enumerate(varying.items()):
            value = runs[0].values.get(axis)
            plain = isinstance(value, int | float) and not isinstance(value, bool)
            row |= {f"value{i}": value if plain else label(value), f"filter{i}": [label(v) for v in values].index(label(value))}
        rows.append(row)
    return rows


def training_section(sweep: SweepFiles, shared: Sequence[Dropdown]) -> Section:
    rows = training_rows(sweep.runs, list(TRAINING), seed_numbers(sweep.runs))
    chart = curves_spec(rows, configuration_table(sweep), training_panels(), shared)
    width = bin_width((step for run in sweep.runs for step in run.metrics.get("step", [])), points_of(sweep.runs))
    each = f"A point is the mean of {width} steps. " if width > 1 else ""
    missing = [] if chart is None else [name for i, name in enumerate(TRAINING) if not any(f"y{i}" in row for row in rows)]
    return Section(
        "training",
        "Training: reward, hack rate and KL",
        f"Lines are means over a configuration's seeds, bands reach from the lowest seed to the highest. {each}",
        chart,
        missing="no run has trained a step" if chart is None else said_missing(missing),
    )


def counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def said_missing(names: Sequence[str]) -> str:
    return f"not in the runs' files, so not drawn: {', '.join(names)}" if names else ""


def ablation_section(sweep: SweepFiles, shared: Sequence[Dropdown]) -> Section:
    rows = mode_rows(sweep.runs, list(EVALUATED), seed_numbers(sweep.runs))
    panels = [Panel(0, "Reward", EVALUATED["reward"]), Panel(1, "Hack rate", EVALUATED["hacked"], domain=(0.0, 1.0))]
    chart = modes_spec(rows, configuration_table(sweep), panels, shared)
    missing = [] if chart is None else [name for i, name in enumerate(EVALUATED) if not any(f"y{i}" in row for row in rows)]
    return Section(
        "ablation",
        "Ablation: the same policy with adapters cut out, over training",
        "Evaluations on held-out prompts: reward above, hack rate below. Bands reach from the lowest seed to the highest.",
        chart,
        missing="no evaluation during training" if chart is None else said_missing(missing),
    )


def pareto_section(sweep: SweepFiles, shared: Sequence[Dropdown]) -> Section:
    rows = end_rows(sweep.runs, seed_numbers(sweep.runs))
    own = [mode_dropdown(rows), task_dropdown(rows)]
    chart = pareto_spec(rows, configuration_table(sweep), shared, own)
    return Section(
        "pareto",
        "The end: task reward against hack rate",
        "Up and to the left is better. Task reward is the mean of the reward's components that are not the hack's, unscaled. A "
        "large mark is a configuration's mean, small ones are its seeds. Thin lines lead from routed runs with both adapters to "
        "retain alone; the dashed line joins marks that none beats in both.",
        chart,
        dropdowns=own if chart is not None else (),
        missing="no final evaluation with a hack rate" if chart is None else "",
    )


def sample_section(runs: Sequence[RunFiles]) -> Section:
    count = SAMPLES_OF_A_MODE if len(runs) <= MANY_RUNS else 2  # with more of them the page takes seconds to open
    named = [(_sample_title(run), samples_of(run, count)) for run in runs]
    note = "The first completions of the final evaluation, the same prompts in every mode; of unfinished runs those of training."
    return Section("samples", "Samples by run and mode", note, samples=named, missing="" if runs else "no samples yet")


def _sample_title(run: RunFiles) -> str:
    return f"{title(run)} ({run.kind}, {run.state})"


def failure_section(failures: Sequence[Row]) -> list[Section]:
    if not failures:
        return []
    shown = [
        {
            "title": f"{shortened(row['run'], 90)}: attempt {row['attempt']}, exit code {label(row['exit_code'])}",
            "command": _spoken(row.get("command")),
            "text": "\n".join(map(str, row["last_lines"])),
        }
        for row in failures
    ]
    return [Section("failures", "Failed attempts", "The last lines that each printed.", failures=shown)]


def _spoken(command: Any) -> str:
    return " ".join(map(str, command)) if isinstance(command, list) else str(command or "")


def facts(sweep: SweepFiles) -> list[tuple[str, str]]:
    states = Counter(run.state for run in sweep.runs)
    varying = [f"{axis} ({len(values)})" for axis, values in choices(sweep).items()]
    return [
        ("runs", f"{len(sweep.runs)}: " + ", ".join(f"{count} {state}" for state, count in states.items())),
        ("configurations", str(len(configurations(sweep.runs)))),
        ("seeds", ", ".join(map(label, seeds_of(sweep.runs)))),
        ("varied", ", ".join(varying) or "nothing else"),
        ("cost", total_cost(sweep.runs)),
    ]


def sweep_page(sweep: SweepFiles) -> dict[str, Any]:
    """What page.html.j2 shows of a sweep."""
    shared, runs = dropdowns(sweep), sweep.runs
    sections = [
        training_section(sweep, shared),
        ablation_section(sweep, shared),
        pareto_section(sweep, shared),
        Section("runs", "Every run", "Click a column to sort by it. Training reward: the mean of the last 20 steps.",
                table=results_table(runs, [axis for axis in sweep.axes if axis in choices(sweep) or axis == "seed"])),
        Section("costs", "What each run cost", total_cost(runs) + ".", table=cost_table(runs)),
        *failure_section(sweep.failures),
        sample_section([run for run in runs if run.samples]),
    ]  # fmt: skip
    return {
        "what": "Sweep",
        "heading": sweep.name,
        "facts": facts(sweep),
        "problem": f"{counted(len(sweep.failures), 'failed attempt')}, shown below" if sweep.failures else "",
        "dropdowns": shared,
        "sections": sections,
    }
