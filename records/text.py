"""Tables as plain text, for the screen and for log files."""

from collections.abc import Mapping, Sequence
from io import StringIO

from rich.console import Console
from rich.table import Column, Table


def plain_table(*heads: str, numbers: Sequence[str] = ()) -> Table:
    """Without lines; no cell is wrapped. The columns under `numbers` are the last ones, aligned to the right."""
    columns = [Column(head, no_wrap=True) for head in heads] + [Column(head, no_wrap=True, justify="right") for head in numbers]
    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def fitted(head: str, numbers: Sequence[str], rows: Mapping[str, Sequence[str]], width: int | None) -> str:
    """A row for each name; where that is wider than `width`, a column for each instead."""
    table = plain_table(head, numbers=numbers)
    for name, cells in rows.items():
        table.add_row(name, *cells)
    text = text_of(table)
    if width is None or max(map(len, text.splitlines())) <= width:
        return text
    turned = plain_table("", numbers=[*rows])
    for name, cells in zip(numbers, zip(*rows.values(), strict=True), strict=True):
        turned.add_row(name, *cells)
    return text_of(turned)


def text_of(table: Table) -> str:
    """As wide as it has to be, wherever it goes."""
    console = Console(file=StringIO(), width=100_000, markup=False, highlight=False, force_terminal=False, force_jupyter=False)
    console.print(table)
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())
