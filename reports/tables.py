"""Tables of a report as cells of text, each with what it is sorted by. What was not computed is "–" and sorts below all else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from records.reader import RunFiles, first_of_each_mode
from reports.numbers import MODES, as_trained, at_the_end, mean

MISSING = "–"
SAMPLES_OF_A_MODE = 5
PAGE_LENGTH = 25  # rows
LONGEST_TEXT = 700  # characters of a prompt or a completion
IN_A_TABLE = 24  # characters of a configuration


@dataclass(frozen=True)
class Cell:
    text: str
    order: float | str = ""  # DataTables takes the empty one for a missing number
    title: str = ""  # said in full when the mouse rests on it
    link: str = ""  # an id of the page
    style: str = ""  # a class of the page's style sheet
    more: str = ""  # a second line in small print


@dataclass(frozen=True)
class Table:
    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numeric: frozenset[int]  # columns, from 0
    sortable: bool = True

    @property
    def options(self) -> dict[str, Any]:
        """For DataTables: in the order given until a header is clicked, in pages where there are more rows than one holds."""
        several = len(self.rows) > PAGE_LENGTH
        said = {"paging": several, "info": several, "searching": several or len(self.rows) > 5}
        pages = {"pageLength": PAGE_LENGTH, "lengthMenu": [PAGE_LENGTH, 50, 100, 500]}
        return {"order": [], "scrollX": True, "autoWidth": False} | pages | said


def table(name: str, header: Sequence[str], rows: Sequence[Sequence[Cell]], sortable: bool = True) -> Table:
    """A column is numeric when nothing else than numbers and gaps stand in it."""
    columns = range(len(header))
    numeric = frozenset(i for i in columns if all(isinstance(row[i].order, float) or row[i].text == MISSING for row in rows))
    return Table(name, header, rows, numeric, sortable)


def number(value: float | int | None, digits: int = 3) -> Cell:
    return Cell(MISSING) if value is None else Cell(f"{value:,.{digits}f}", float(value))


def words(value: str | None, **more: str) -> Cell:
    return Cell(value, value, **more) if value else Cell(MISSING)


def yes_or_no(flags: Mapping[str, bool | None]) -> Cell:
    """The first mode that it holds for and how many more; "no" where it holds for none of those that are known."""
    if all(flag is None for flag in flags.values()):
        return Cell(MISSING)
    held = [mode for mode, flag in flags.items() if flag]
    if not held:
        return Cell("no", "no")
    more = f" +{len(held) - 1}" if held[1:] else ""
    return Cell(held[0] + more, f"yes {held}", title=", ".join(held) if more else "", style="warn")


def label(value: Any) -> str:
    """A setting's value in few words; a reward that is spelt out is called by its name or its components'."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        parts = "+".join(str(part.get("name")) for part in value.get("components", []) if isinstance(part, dict))
        return str(value.get("name") or parts or json.dumps(value, sort_keys=True))
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def setting(value: Any) -> Cell:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return Cell(label(value), float(value) if plain else label(value)) if value is not None else Cell(MISSING)


def shortened(name: str, length: int = 56) -> str:
    """Without its middle, where it is longer than `length`: runs of a sweep tend to differ at the end of their names."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"


def title(run: RunFiles, length: int = 56) -> str:
    """A run in few words: its configuration, cut to `length`, and seed."""
    seed = "" if run.seed is None or run.configuration == run.name else f" · seed {run.seed}"
    return shortened(run.configuration, length) + seed


def run_cell(run: RunFiles, link: str = "") -> Cell:
    """The axes' values stand in columns of their own, so that a run's name may be short here."""
    return words(title(run, IN_A_TABLE), title=run.name, link=link)


def state(run: RunFiles) -> Cell:
    return Cell(run.state, run.state, title=run.error or "", style=f"state {run.state}")


def steps(run: RunFiles) -> Cell:
    wanted = run.config.get("max_steps")
    return Cell(f"{run.step:,}" + (f"/{wanted:,}" if wanted else ""), float(run.step))


def by_mode(run: RunFiles, name: str) -> dict[str, Any]:
    """A figure of the final evaluation; a policy without two adapters stands as `both`."""
    return {as_trained(mode): figures.get(name) for mode, figures in run.final.items()}


RESULTS = ("reward, training", "reward, at the end", "hack rate, both", "hack rate, retain_only", "hack rate, forget_only",
           "unique", "degenerate", "collapsed")  # fmt: skip


def results_table(runs: Sequence[RunFiles], axes: Sequence[str]) -> Table:
    """One row a run: what varies, how far it came, and what the final evaluation found."""
    header = ["run", *axes, "kind", "state", "steps", *RESULTS]
    rows = []
    for i, run in enumerate(runs):
        values = [setting(run.seed if axis == "seed" else run.values.get(axis)) for axis in axes]
        name = run_cell(run, f"samples-{i}" if run.samples else "")
        rows.append([name, *values, words(run.kind), state(run), steps(run), *_results(run)])
    return table("results", header, rows)


def _results(run: RunFiles) -> list[Cell]:
    hacked, trained = by_mode(run, "hacked"), [mode for mode in MODES if mode != "base"]
    flags = [
        {mode: run.final[mode].get(name) for mode in trained if mode in run.final} for name in ("degenerate", "template_collapse")
    ]
    return [
        number(at_the_end(run, "reward")),
        number(by_mode(run, "reward").get("both")),
        *(number(hacked.get(mode)) for mode in ("both", "retain_only", "forget_only")),
        number(by_mode(run, "unique").get("both")),
        *(yes_or_no(each) for each in flags),
    ]


def duration(seconds: float | None) -> str:
    """1 h 05 min, 12 min 30 s, 4.2 s."""
    if seconds is None:
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left:02} min" if hours else f"{minutes} min {rest:02} s"


def seconds_of(run: RunFiles) -> float | None:
    """Training alone: the sum of all steps' times."""
    return sum(run.step_times) if run.step_times else None


def cost_table(runs: Sequence[RunFiles]) -> Table:
    header = ["run", "kind", "state", "steps", "training time", "s / step", "tokens", "device"]
    rows = []
    for run in runs:
        spent = seconds_of(run)
        time = Cell(MISSING) if spent is None else Cell(duration(spent), spent)
        device = words(run.made_of.get("device"), title=f"torch {run.made_of.get('torch')}, {run.made_of.get('threads')} threads")
        each = number(mean(run.step_times) if run.step_times else None)
        rows.append([run_cell(run), words(run.kind), state(run), steps(run), time, each,
                     number(run.tokens, 0), device])  # fmt: skip
    return table("cost", header, rows)


def total_cost(runs: Sequence[RunFiles]) -> str:
    known = [seconds for run in runs if (seconds := seconds_of(run)) is not None]
    tokens = sum(run.tokens or 0 for run in runs)
    return f"{duration(sum(known))} of training and {tokens:,} tokens in {len(known)} runs" if known else "no step was timed"


@dataclass(frozen=True)
class SampleCell:
    text: str
    reward: str
    hacked: bool | None


@dataclass(frozen=True)
class Samples:
    """Completions of the same prompts: `rows` are (prompt, one cell a column)."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[SampleCell | None]]]


def cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def sample_cell(row: Mapping[str, Any]) -> SampleCell:
    return SampleCell(cut(row["completion"]), number(row.get("reward")).text, row.get("hacked"))


def samples_of(run: RunFiles, count: int) -> Samples:
    """The first `count` of each mode beside one another; rows of different modes belong together by prompt and its count."""
    table_rows: dict[tuple, tuple[str, dict[str, SampleCell]]] = {}
    seen: dict[tuple, int] = {}
    columns: dict[str, None] = {}
    for row in first_of_each_mode(run.samples, count):
        column = row["mode"] if "mode" in row else f"training, step {row['step']}"
        key = (column, row.get("prompt_index"), row["prompt"])
        seen[key] = seen.get(key, 0) + 1
        _, cells = table_rows.setdefault((*key[1:], seen[key]), (cut(row["prompt"]), {}))
        cells[column] = sample_cell(row)
        columns[column] = None
    return Samples(list(columns), [(prompt, [cells.get(name) for name in columns]) for prompt, cells in table_rows.values()])
