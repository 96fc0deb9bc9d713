"""Completions of the same prompts side by side, what their reward counts marked, by mode and over the steps of training."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from configs.errors import UserError
from records.names import MODES
from records.reader import RunFiles, first_of_each_mode, grouped
from reports.tables import number_cell

LONGEST_TEXT = 700  # characters of a prompt or a completion
COUNTED = 4  # marked words of a completion that are told with how often they occur


@dataclass(frozen=True)
class Completion:
    """`pieces` are its text, each with whether it is marked; `counts` say how often what is."""

    pieces: Sequence[tuple[str, bool]]
    reward: str
    hacked: bool | None
    counts: str = ""

    @property
    def text(self) -> str:
        return "".join(piece for piece, _ in self.pieces)


@dataclass(frozen=True)
class Samples:
    """`rows` are (prompt, one completion a column)."""

    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Completion | None]]]


@dataclass(frozen=True)
class View:
    """What is seen at one place of a slider: the samples of a training step, or without a step those at the end."""

    title: str
    samples: Samples
    step: int | None = None


@dataclass(frozen=True)
class SampleBlock:
    """What opens and closes; `run` is the run's number in its sweep."""

    title: str
    views: Sequence[View]
    run: int | None = None


def cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def completion_of(row: Mapping[str, Any]) -> Completion:
    text, spans = row["completion"], spans_of(row)
    words = Counter(text[start:end].lower() for start, end in spans)
    return Completion([*pieces_of(text, spans)], number_cell(row.get("reward")).text, row.get("hacked"), counts_of(words))


def spans_of(row: Mapping[str, Any]) -> list[tuple[int, int]]:
    """The places that are marked, in order and apart; none in files of versions that marked nothing."""
    spans, ends = row.get("marks") or [], [0]
    for span in spans:
        if not (
            isinstance(span, list)
            and [*map(type, span)] == [int, int]
            and ends[-1] <= span[0] < span[1] <= len(row["completion"])
        ):
            raise UserError(f"marks of a sample: {span!r} is no place in its completion {row['completion'][:40]!r}")
        ends.append(span[1])
    return [(start, end) for start, end in spans]


def pieces_of(text: str, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[str, bool]]:
    """What is too long is cut."""
    at, shown = 0, len(text) if len(text) <= LONGEST_TEXT else LONGEST_TEXT - 1
    for start, end in spans:
        if end > shown:
            break
        yield from [(text[at:start], False)] * (at < start)
        yield text[start:end], True
        at = end
    yield from [(cut(text)[at:], False)] * (at < len(text))


def counts_of(words: Mapping[str, int]) -> str:
    """happy × 9, light × 2, others × 1: what stands there more than once, and how much else."""
    repeated = sorted((word for word in words if words[word] > 1), key=lambda word: -words[word])[:COUNTED]
    rest = sum(words.values()) - sum(words[word] for word in repeated)
    if not repeated:
        return f"{rest} marked" if rest else ""
    return ", ".join([*(f"{word} × {words[word]}" for word in repeated), *([f"others × {rest}"] if rest else [])])


def views_of(run: RunFiles, count: int) -> list[View]:
    """What training logged step by step, and at the end the first `count` final samples of each mode."""
    by_step = grouped(run.logged, lambda row: row["step"])
    views = [View(f"training, step {step:,}", side_by_side(rows), step) for step, rows in by_step.items()]
    if run.samples and "mode" in run.samples[0]:
        views.append(View("at the end, by mode", samples_of(run, count)))
    return views or [View("", samples_of(run, count))]


def samples_of(run: RunFiles, count: int) -> Samples:
    """The first `count` of each mode beside one another; rows of different modes belong together by prompt and its count."""
    rows: dict[tuple, dict[str, Completion]] = {}
    seen: Counter[tuple] = Counter()
    for row in first_of_each_mode(run.samples, count):
        column = row["mode"] if "mode" in row else f"training, step {row['step']}"
        prompt = (row.get("prompt_index"), row["prompt"])
        seen[column, prompt] += 1
        rows.setdefault((*prompt, seen[column, prompt]), {})[column] = completion_of(row)
    columns = sorted(dict.fromkeys(column for column, _ in seen), key=lambda name: MODES.index(name) if name in MODES else -1)
    return Samples(columns, [(cut(prompt), [cells.get(name) for name in columns]) for (_, prompt, _), cells in rows.items()])


def side_by_side(rows: Sequence[Mapping[str, Any]]) -> Samples:
    """Of one training step the completions of each prompt."""
    groups = list(grouped(rows, lambda row: (row.get("prompt_index"), row["prompt"])).values())
    most = max(map(len, groups))
    cells = [[*map(completion_of, group), *[None] * (most - len(group))] for group in groups]
    return Samples(
        [f"completion {i + 1}" for i in range(most)], [(cut(g[0]["prompt"]), c) for g, c in zip(groups, cells, strict=True)]
    )
