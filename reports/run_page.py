"""What the page of one run says, and that of two runs that are compared."""

from collections.abc import Mapping, Sequence
from typing import Any

from records.reader import Row, RunFiles
from reports.charts import Panel
from reports.compare import common_samples, common_steps, differing, first_sample, first_step, flat
from reports.numbers import MODES, bin_width, grouped, mean, places, point, thinned
from reports.run_charts import comparison_spec, run_curves_spec, run_modes_spec
from reports.sweep_page import EVALUATED, TRAINING, Section, said_missing, sample_section, training_panels
from reports.tables import (
    Cell,
    Samples,
    Table,
    duration,
    label,
    number,
    sample_cell,
    seconds_of,
    setting,
    shortened,
    table,
    words,
    yes_or_no,
)

# Of a run's page: the name in metrics.jsonl, the chart's title and its axis. A reward's components follow.
CURVES = {
    **TRAINING,
    "entropy": ("Entropy", "nats a token"),
    "completions/mean_length": ("Length of completions", "tokens"),
    "completions/clipped_ratio": ("Cut at the length limit", "share of samples"),
    "frac_reward_zero_std": ("Groups without a reward difference", "share of groups"),
    "routing/routed": ("Routed", "share of samples"),
    "grad_norm": ("Gradient norm", "before clipping"),
}
FIGURES = {"unique": "unique", "jaccard": "mean Jaccard", "finished": "ended with EOS", "mean_length": "tokens",
           "nll_base": "nats, base", "kl_to_base": "KL to base"}  # fmt: skip
MOST_METRICS = 15


def run_metrics(row: Row) -> list[str]:
    """What a run's page draws of metrics.jsonl."""
    return [*CURVES, *(name for name in row if name.startswith("rewards/") and name.endswith("/mean"))]


def _panels(run: RunFiles) -> dict[str, Panel]:
    names = [name for name in run.metrics if name != "step" and (name in CURVES or name.startswith("rewards/"))]
    parts = [name for name in names if name not in CURVES]
    names = [name for name in CURVES if name in names] + (parts if len(parts) > 1 else [])
    said = CURVES | {name: (f"Component {shortened(name.split('/')[1], 34)}", "mean, unscaled") for name in parts}
    shares = {"routing/hacked": (0.0, 1.0), "routing/routed": (0.0, 1.0)}
    return {name: Panel(i, *said[name], domain=shares.get(name)) for i, name in enumerate(names)}


def curve_section(run: RunFiles) -> Section:
    panels, steps = _panels(run), run.metrics.get("step", [])
    where = places(steps)
    bins = [grouped(steps, run.metrics[name], where) for name in panels]
    rows = []
    for place in sorted(set(where.values())):
        row: dict[str, float] = {"x": place}
        for i, groups in enumerate(bins):
            row |= point(i, groups.get(place, []))
        rows.append(row)
    chart = run_curves_spec(rows, list(panels.values()))
    width = bin_width(steps) if steps else 1
    note = f"A point is the mean of {width} steps, the band reaches from the lowest of them to the highest." if width > 1 else ""
    absent = [name for name in TRAINING if name not in run.metrics or not any(v is not None for v in run.metrics[name])]
    return Section("training", "Training", note, chart, missing=said_missing(absent) if chart else "no step has been trained")


def ablation_section(run: RunFiles) -> Section:
    rows = []
    for each in run.evaluations:
        row = {"x": each["step"], "m": each["mode"]}
        for i, name in enumerate(EVALUATED):
            if each[name] is not None:
                low, high = each.get(f"{name}/interval") or (None, None)
                row |= {f"y{i}": each[name], f"l{i}": low, f"h{i}": high}
        rows.append(row)
    panels = [Panel(0, "Reward by mode", EVALUATED["reward"]), Panel(1, "Hack rate by mode", EVALUATED["hacked"], (0.0, 1.0))]
    chart = run_modes_spec(rows, panels)
    note = "Evaluations on held-out prompts; bands are 95 % bootstrap intervals over samples."
    missing = "" if chart else "no evaluation during training"
    return Section(
        "ablation", "Ablation: the policy with adapters cut out, over training", note if chart else "", chart, missing=missing
    )


def latest(run: RunFiles) -> dict[str, Row]:
    """The newest evaluation by mode, in the order of `MODES`: the final one, with its rows' intervals, or the last so far."""
    rows = {row["mode"]: row for row in run.evaluations}
    merged = {}
    for mode in (mode for mode in MODES if mode in rows or mode in run.final):
        row, final = rows.get(mode, {}), run.final.get(mode, {})
        same = not final or (row.get("step"), row.get("samples")) == (final["step"], final.get("samples"))
        merged[mode] = (row if same else {}) | final
    return merged


def with_interval(figures: Mapping[str, Any], name: str) -> Cell:
    value, interval = figures.get(name), figures.get(f"{name}/interval")
    if value is None or not interval:
        return number(value)
    return Cell(f"{value:.3f}", float(value), more=f"{interval[0]:.3f} to {interval[1]:.3f}")


def mode_section(run: RunFiles) -> Section:
    modes = latest(run)
    parts = {
        name: None for row in modes.values() for name in row if name.startswith("rewards/") and not name.endswith("/interval")
    }
    means = {
        "reward": "reward",
        **({n: n.removeprefix("rewards/") for n in parts} if len(parts) > 1 else {}),
        "hacked": "hack rate",
        "detected": "detected",
    }
    header = ["mode", "step", "samples", *means.values(), *FIGURES.values(), "degenerate", "collapsed"]
    rows = [
        [words(mode), number(row["step"], 0), number(row.get("samples"), 0), *(with_interval(row, name) for name in means),
         *(number(row.get(name)) for name in FIGURES),
         *(_flag(row.get(name)) for name in ("degenerate", "template_collapse"))]
        for mode, row in modes.items()
    ]  # fmt: skip
    title = "Modes at the end" if run.final else "Modes at the last evaluation"
    if not rows:
        return Section("modes", title, missing="no evaluation yet")
    note = "In small print: 95 % bootstrap intervals over samples."
    return Section("modes", title, note, table=table("modetable", header, rows))


def _flag(value: bool | None) -> Cell:
    return yes_or_no({"yes": value})


def run_facts(run: RunFiles) -> list[tuple[str, str]]:
    wanted, spent = run.config.get("max_steps"), seconds_of(run)
    return [
        ("state", run.state),
        ("step", f"{run.step:,}" + (f" of {wanted:,}" if wanted else "")),
        ("kind", run.kind),
        ("seed", label(run.seed)),
        ("training time", duration(spent)),
        ("s / step", number(mean(run.step_times) if run.step_times else None).text),
        ("tokens", number(run.tokens, 0).text),
        ("device", label(run.made_of.get("device"))),
    ]


def settings_table(run: RunFiles) -> Table:
    return table(
        "settings",
        ["setting", "value"],
        [[words(name), setting(value)] for name, value in flat(run.config).items()],
        sortable=False,
    )


def run_page(run: RunFiles) -> dict[str, Any]:
    """What page.html.j2 shows of a run."""
    sections = [
        curve_section(run),
        ablation_section(run),
        mode_section(run),
        sample_section([run] if run.samples else []),
        Section("config", "Settings", table=settings_table(run), folded=f"all {len(flat(run.config))} settings"),
    ]
    return {
        "what": "Run",
        "heading": run.name,
        "facts": run_facts(run),
        "problem": run.error or "",
        "dropdowns": (),
        "sections": sections,
    }


def comparison_page(a: RunFiles, b: RunFiles, steps: Sequence[list[Row]], samples: Sequence[list[Row]]) -> dict[str, Any]:
    """What page.html.j2 shows of two runs. `steps` and `samples`: all rows of their metrics.jsonl and samples.jsonl."""
    sections = [
        differences_section("settings", "Settings that differ", differing(flat(a.config), flat(b.config)), setting),
        paired_section(a, b),
        differences_section("madeof", "What they were made of", differing(flat(a.made_of), flat(b.made_of)), setting),
        step_section(*steps),
        *sample_sections(*samples),
    ]
    return {
        "what": "Comparison of two runs",
        "heading": "A against B",
        "facts": [(name, f"{run.name} ({run.state}, step {run.step:,})") for name, run in (("A", a), ("B", b))],
        "problem": "",
        "dropdowns": (),
        "sections": sections,
    }


def paired_section(a: RunFiles, b: RunFiles) -> Section:
    where = places([*a.metrics.get("step", []), *b.metrics.get("step", [])])
    curves = [
        [thinned(run.metrics["step"], run.metrics[n], where) if n in run.metrics else {} for n in TRAINING] for run in (a, b)
    ]
    names, rows = ["A", "B"], []
    for place in sorted(set(where.values())):
        values = [[(i, curve[place]) for i, curve in enumerate(each) if place in curve] for each in curves]
        rows += [{"x": place, "r": name} | {f"y{i}": v for i, v in found} for name, found in zip(names, values, strict=True)]
        first = dict(values[0])
        rows.append({"x": place} | {f"d{i}": value - first[i] for i, value in values[1] if i in first})
    chart = comparison_spec(rows, training_panels(), names)
    note = f"A point is the mean of {bin_width(where)} steps." if where and bin_width(where) > 1 else ""
    return Section(
        "training", "Training: reward, hack rate and KL", note, chart, missing="" if chart else "neither has trained a step"
    )


def differences_section(name: str, title: str, values: Mapping[str, tuple[Any, Any]], show: Any, note: str = "") -> Section:
    rows = [[words(key), show(first), show(second)] for key, (first, second) in values.items()]
    if not rows:
        return Section(name, title, note, missing="none")
    return Section(name, title, note, table=table(f"{name}table", ["name", "A", "B"], rows, sortable=False))


def exact(value: Any) -> Cell:
    return Cell(repr(value), float(value)) if isinstance(value, int | float) else setting(value)


def step_section(a: list[Row], b: list[Row]) -> Section:
    found, common = first_step(a, b), common_steps(a, b)
    if found is None:
        said = f"all {common:,} steps that both have are equal in every metric" if common else "no step that both have"
        return Section("step", "The first step that differs", missing=said)
    shown = dict(list(found.values.items())[:MOST_METRICS])
    more = f"; {len(found.values) - len(shown)} more are not shown" if len(found.values) > len(shown) else ""
    note = f"{len(found.values)} of {len(dict.fromkeys(k for r in (a[0], b[0]) for k in r))} metrics differ there{more}."
    return differences_section("step", f"The first step that differs: {found.step}", shown, exact, note)


def sample_sections(a: list[Row], b: list[Row]) -> list[Section]:
    """The first sample that differs in anything, and where that is not its text the first one whose text differs."""
    title, common = "The first sample that differs", len(common_samples(a, b))
    first, text = first_sample(a, b), first_sample(a, b, ("prompt", "completion"))
    if first is None:
        said = f"all {common:,} logged samples that both have are equal" if common else "no logged sample that both have"
        return [Section("sample", title, missing=said)]
    found = [("sample", title, first)]
    if text is not None and (text.step, text.number) != (first.step, first.number):
        found.append(("sampletext", "The first sample whose text differs", text))
    return [_sample_pair(*each) for each in found]


def _sample_pair(name: str, title: str, found: Any) -> Section:
    prompts = [found.a["prompt"], found.b["prompt"]]
    cells = [sample_cell(found.a), sample_cell(found.b)]
    apart = [(prompts[0], [cells[0], None]), (prompts[1], [None, cells[1]])]
    rows = [(prompts[0], cells)] if prompts[0] == prompts[1] else apart
    note = f"Step {found.step}, sample {found.number} of that step (from 0). It differs in: {', '.join(found.names)}."
    return Section(name, title, note, samples=[("A and B", Samples(["A", "B"], rows))])
