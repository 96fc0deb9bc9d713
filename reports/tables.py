"""Tables of a page as cells of text, each with what it is sorted by. What was not computed is "–" and sorts below all else."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

MISSING = "–"
PAGE_LENGTH = 25  # rows
SEARCHED = 12  # with more rows, a table can be searched


@dataclass(frozen=True)
class Cell:
    text: str
    order: float | str = ""  # DataTables takes the empty one for a missing number
    title: str = ""  # said in full when the mouse rests on it
    link: str = ""  # an id of the page, of what a click opens
    style: str = ""  # a class of the page's style sheet
    interval: tuple[str, ...] = ()  # its two ends, where the figure has one
    more: str = ""  # said after it

    @property
    def small_print(self) -> str:
        """A second line."""
        return ", ".join(filter(None, [" to ".join(self.interval), self.more]))


@dataclass(frozen=True)
class Table:
    name: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    sortable: bool = True
    runs: Sequence[int | None] = ()  # of a sweep's page, by row: which of its runs the row belongs to, by number from 0
    configurations: Sequence[int | None] = ()  # likewise, which configuration
    groups: Sequence[tuple[str, int]] = ()  # above the header: what so many columns have in common, or ""
    page_length: int = PAGE_LENGTH

    @cached_property
    def numeric(self) -> set[int]:
        """Columns, from 0, in which nothing else than numbers and gaps stand."""
        columns = enumerate(zip(*self.rows, strict=True))
        return {i for i, cells in columns if all(isinstance(c.order, float) or c.text == MISSING for c in cells)}

    @property
    def options(self) -> dict[str, Any]:
        """For DataTables: in the order given until a header is clicked, in pages where there are more rows than one holds."""
        several = len(self.rows) > self.page_length
        searched = several or len(self.rows) > SEARCHED
        shows = {"paging": several, "info": several, "layout": {"topEnd": "search" if searched else None}}
        pages = {"pageLength": self.page_length, "lengthMenu": [self.page_length, 50, 100, 500]}
        return {"order": [], "titleRow": int(bool(self.groups)), "scrollX": True, "autoWidth": False} | pages | shows


def number_cell(value: float | int | None, digits: int = 3) -> Cell:
    return Cell(MISSING) if value is None else Cell(f"{value:,.{digits}f}", float(value))


def text_cell(value: str | None, title: str = "", link: str = "", more: str = "") -> Cell:
    return Cell(value, value, title=title, link=link, more=more) if value else Cell(MISSING)


def interval_cell(value: float | None, interval: Sequence[float] | None, note: str = "") -> Cell:
    """A figure with its interval and a note in small print."""
    ends = tuple(f"{end:.3f}" for end in interval or ())
    return Cell(MISSING) if value is None else replace(number_cell(value), interval=ends, more=note)


def flags_cell(flags: Mapping[str, bool | None]) -> Cell:
    """The first mode that it holds for and how many more; "no" where it holds for none of those that are known."""
    if all(flag is None for flag in flags.values()):
        return Cell(MISSING)
    modes = [mode for mode, flag in flags.items() if flag]
    if not modes:
        return Cell("no", "no")
    more = f" +{len(modes) - 1}" if modes[1:] else ""
    return Cell(modes[0] + more, f"yes {modes}", title=", ".join(modes) if more else "", style="warn")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def setting_text(value: Any) -> str:
    """A setting's value in few words; a reward that is spelt out is called by its name or its components'."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        parts = "+".join(str(part.get("name")) for part in value.get("components", []) if isinstance(part, dict))
        return str(value.get("name") or parts or json.dumps(value, sort_keys=True))
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def setting_cell(value: Any) -> Cell:
    text = setting_text(value)
    return Cell(MISSING) if value is None else Cell(text, float(value) if is_number(value) else text)


def ordered(values: Sequence[Any]) -> list[Any]:
    """Distinct ones; numbers by size, then texts, then what is missing."""
    distinct = {setting_text(value): value for value in values}.values()
    return sorted(distinct, key=lambda v: (v is None, not is_number(v), v if is_number(v) else 0, setting_text(v)))


def shortened(name: str, length: int = 56) -> str:
    """Without its middle, where it is longer than `length`: runs of a sweep tend to differ at the end of their names."""
    if len(name) <= length:
        return name
    tail = (length - 1) // 2
    return f"{name[: length - 1 - tail]}…{name[-tail:]}"
