"""Completions of the same prompts side by side, what their reward counts marked, by mode and over the steps of training."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from configs.errors import UserError
from records.logged import OF_A_RUN, Few, few_logged
from records.names import MODES
from records.reader import SAMPLES_OF_A_MODE, RunFiles, first_of_each_mode, grouped
from reports.tables import number_cell

COUNTED = 4  # marked words of a completion that are told with how often they occur


class Room(NamedTuple):
    """How much of a run is shown: final samples of a mode, characters of a text, and samples of training."""

    samples: int = SAMPLES_OF_A_MODE
    characters: int = 700
    logged: Few = OF_A_RUN


USUAL, OF_MANY = Room(), Room(2, 300, Few(3, 1, 1))  # with hundreds of runs the page would be too large, and slow to open


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


def cut(text: str, characters: int = USUAL.characters) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def completion_of(row: Mapping[str, Any], characters: int = USUAL.characters) -> Completion:
    text, spans = row["completion"], spans_of(row)
    words = Counter(text[start:end].lower() for start, end in spans)
    return Completion(
        [*pieces_of(text, spans, characters)], number_cell(row.get("reward")).text, row.get("hacked"), counts_of(words)
    )


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


def pieces_of(text: str, spans: Sequence[tuple[int, int]], characters: int) -> Iterator[tuple[str, bool]]:
    """What is too long is cut."""
    at, shown = 0, len(text) if len(text) <= characters else characters - 1
    for start, end in spans:
        if end > shown:
            break
        yield from [(text[at:start], False)] * (at < start)
        yield text[start:end], True
        at = end
    yield from [(cut(text, characters)[at:], False)] * (at < len(text))


def counts_of(words: Mapping[str, int]) -> str:
    """happy × 9, light × 2, others × 1: what stands there more than once, and how much else."""
    repeated = sorted((word for word in words if words[word] > 1), key=lambda word: -words[word])[:COUNTED]
    rest = sum(words.values()) - sum(words[word] for word in repeated)
    if not repeated:
        return f"{rest} marked" if rest else ""
    return ", ".join([*(f"{word} × {words[word]}" for word in repeated), *([f"others × {rest}"] if rest else [])])


def views_of(run: RunFiles, room: Room = USUAL) -> list[View]:
    """What training logged step by step, and at the end the first final samples of each mode."""
    by_step = grouped(few_logged(run.logged, room.logged), lambda row: row["step"])
    views = [View(f"training, step {step:,}", side_by_side(rows, room), step) for step, rows in by_step.items()]
    if run.samples and "mode" in run.samples[0]:
        views.append(View("at the end, by mode", samples_of(run, room)))
    return views or [View("", samples_of(run, room))]


def samples_of(run: RunFiles, room: Room = USUAL) -> Samples:
    """The first of each mode beside one another; rows of different modes belong together by prompt and its count."""
    rows: dict[tuple, dict[str, Completion]] = {}
    seen: Counter[tuple] = Counter()
    for row in first_of_each_mode(run.samples, room.samples):
        column = row["mode"] if "mode" in row else f"training, step {row['step']}"
        prompt = (row.get("prompt_index"), row["prompt"])
        seen[column, prompt] += 1
        rows.setdefault((*prompt, seen[column, prompt]), {})[column] = completion_of(row, room.characters)
    columns = sorted(dict.fromkeys(column for column, _ in seen), key=lambda name: MODES.index(name) if name in MODES else -1)
    cells = [(cut(prompt), [by_mode.get(name) for name in columns]) for (_, prompt, _), by_mode in rows.items()]
    return Samples(columns, cells)


def side_by_side(rows: Sequence[Mapping[str, Any]], room: Room = USUAL) -> Samples:
    """Of one training step the completions of each prompt."""
    groups = list(grouped(rows, lambda row: (row.get("prompt_index"), row["prompt"])).values())
    most = max(map(len, groups))
    cells = [[*(completion_of(row, room.characters) for row in group), *[None] * (most - len(group))] for group in groups]
    prompts = [cut(group[0]["prompt"]) for group in groups]
    return Samples([f"completion {i + 1}" for i in range(most)], [*zip(prompts, cells, strict=True)])
