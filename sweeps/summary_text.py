"""A sweep's summary as text: samples, the table of figures, the answer and what may be concluded of it."""

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from records.estimates import Estimate
from records.figures import cell
from records.measures import MEASURES
from records.names import FAILED, FINISHED, MODES, STOPPED
from records.reader import Row, SweepFiles, first_of_each_mode, grouped
from records.text import plain_table, text_of
from sweeps.answer import Answer, difference_name
from sweeps.conclusions import conclusions
from sweeps.relearning import relearning_text
from sweeps.summary import MEANS, SHARES, STATES, controls_after_routed

SAMPLES, SAMPLED, LONGEST_SAMPLE = 2, 12, 300  # of each mode, configurations, characters


def summary_table(summary: dict[str, Any]) -> str:
    """A routed configuration above its controls; those of several stand below each."""
    entries = summary["configurations"]
    components = [*dict.fromkeys(name for e in entries for m in e["modes"].values() for name in m if name.startswith("rewards/"))]
    names = ["reward", *components, *MEANS, *SHARES]
    table = plain_table("configuration", "runs", "mode", "training", *(name.removeprefix("rewards/") for name in names))
    with_controls = {name for entry in entries for name in entry["baseline_of"]}
    for head in (entry for entry in entries if not entry["baseline_of"] or entry["configuration"] in with_controls):
        table.add_row()
        for entry in [head, *(entry for entry in entries if head["configuration"] in entry["baseline_of"])]:
            add_configuration(table, entry, names)
    return "\n".join([text_of(table), "", *relearning_text(entries), *closing_lines(summary)])


def add_configuration(table: Table, entry: dict[str, Any], names: list[str]) -> None:
    first = (entry["configuration"], runs_text(entry["runs"]), figure_cell(entry["training_reward"]))
    for mode, named in (entry["modes"] or {"–": {}}).items():
        table.add_row(*first[:2], mode, first[2], *(figure_cell(named.get(name)) for name in names))
        first = ("", "", "")


def runs_text(counts: dict[str, int]) -> str:
    """3 of 4, 1 stopped, 1 failed: a stopped run is evaluated, too."""
    ended = f"{counts[FINISHED] + counts[STOPPED]} of {counts['planned']}"
    return ended + "".join(f", {counts[state]} {state}" for state in (STOPPED, FAILED) if counts[state])


def figure_cell(figure: dict[str, Any] | None) -> str:
    if figure is None or figure["mean"] is None:
        return cell(None)
    return cell(figure["mean"]) + (f" ± {figure['interval'][1] - figure['mean']:.3f}" if figure["interval"] else "")


def closing_lines(summary: dict[str, Any]) -> list[str]:
    runs = summary["runs"]
    states = ", ".join(f"{runs[state]} {state}" for state in STATES if runs[state])
    names = grouped(summary["problems"], lambda name: summary["problems"][name])
    problems = [f"{first}{f' and {len(more)} more' if more else ''}: {problem}" for problem, (first, *more) in names.items()]
    omitted = [f"… and {len(problems) - SAMPLED} more"] if len(problems) > SAMPLED else []
    head = f"{summary['name']}: {runs['planned']} runs: {states}; means over seeds ± 95 % interval"
    drawn = [f"a sample: {drawn_text(summary['sample'])}"] if summary["sample"] else []
    stopped = stopped_text(runs[STOPPED], runs["planned"])
    return [head, *drawn, *filter(None, [stopped]), *problems[:SAMPLED], *omitted]


def drawn_text(sample: Row) -> str:
    return f"{sample['points']} of the grid's {sample['of']} points, drawn with seed {sample['seed']}"


def stopped_text(stopped: int, planned: int) -> str:
    """Empty where no stop rule ended a run."""
    early = f"{stopped} of {planned} runs {'was' if stopped == 1 else 'were'} stopped early by their stop rule"
    return f"{early}; means have them as they were then" if stopped else ""


def answer_text(answered: list[Answer]) -> str:
    """A row for each routed configuration, its controls with two adapters and the differences; then what may be concluded."""
    table = plain_table("the answer", "seeds", *MEASURES)
    for answer in answered:
        table.add_row()
        for arm in (answer.routed, *answer.controls):
            seeds = f"{len(arm.seeds)} of {arm.planned}"
            table.add_row(arm.configuration, seeds, *(estimate_cell(arm.measures[measure]) for measure in MEASURES))
        for difference in answer.differences:
            name = difference_name(difference) + (f" ({difference.of_what})" if difference.of_what else "")
            table.add_row(name, "paired", *(estimate_cell(difference.measures[measure]) for measure in MEASURES))
    meanings = [f"{name}: {measure.title}" for name, measure in MEASURES.items()]
    return "\n".join([text_of(table), "", *meanings, "", *conclusions(answered)])


def estimate_cell(estimate: Estimate) -> str:
    return estimate.text + ("" if estimate.value is None else f" {estimate.basis}")


def sample_lines(sweep: SweepFiles) -> Iterator[str]:
    """A few completions of each configuration and mode, from its first run that has any."""
    groups = controls_after_routed(sweep.runs)
    for runs in groups[:SAMPLED]:
        for run in [run for run in runs if run.samples][:1]:
            yield f"{run.configuration}, samples of {run.name}"
            for row in first_of_each_mode(run.samples, SAMPLES):
                yield f"  {row['mode']:<{max(map(len, MODES))}}  {sample_text(row)}"
    if len(groups) > SAMPLED:
        yield f"… and {len(groups) - SAMPLED} more configurations"


def sample_text(row: Row) -> str:
    text = " ".join(f"{row['prompt']} >> {row['completion']}".split())
    cut = text if len(text) <= LONGEST_SAMPLE else f"{text[: LONGEST_SAMPLE - 2]} …"
    return f"[{cell(row['reward'])}{', hacked' if row['hacked'] else ''}] {cut}"
