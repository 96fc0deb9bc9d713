"""Columns of a table for the task reward and the hack rate in each mode, of those that anything is known of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from records.names import BASE, MODES, POLICY, as_trained
from reports.tables import Cell

FIGURES = {"task_reward": "task reward", "hacked": "hack rate"}
Figures = Mapping[str, Mapping[str, Any]]  # by mode and name


@dataclass(frozen=True)
class ModeColumns:
    """`keys` are (figure, mode). A policy without two adapters stands as `both`; the base, of which no adapter is part, too."""

    keys: Sequence[tuple[str, str]]

    @property
    def header(self) -> list[str]:
        return [mode for _, mode in self.keys]

    def groups(self, before: int, after: int = 0) -> list[tuple[str, int]]:
        """For `Table`, with so many other columns before and after these."""
        counts = {figure: sum(name == figure for name, _ in self.keys) for figure in FIGURES}
        named = [(FIGURES[figure], count) for figure, count in counts.items() if count]
        return [("", before), *named, *([("", after)] if after else [])]

    def cells(self, figures: Figures, cell: Callable[[Any], Cell]) -> list[Cell]:
        """`cell` makes one of what there is, which may be None."""
        by_mode = {as_trained(mode): figures[mode] for mode in figures if mode != BASE}
        return [cell(by_mode.get(mode, {}).get(figure)) for figure, mode in self.keys]

    def base_cells(self, figures: Mapping[str, Any], cell: Callable[[Any], Cell]) -> list[Cell]:
        return self.cells({POLICY: figures}, cell)


def mode_columns(rows: Sequence[Figures], is_known: Callable[[Any], Any]) -> ModeColumns:
    known = {
        (figure, as_trained(mode))
        for row in rows
        for mode, figures in row.items()
        for figure in FIGURES
        if mode != BASE and is_known(figures.get(figure))
    }
    return ModeColumns([(figure, mode) for figure in FIGURES for mode in MODES if (figure, mode) in known])
