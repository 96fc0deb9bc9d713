"""What a finished run leaves behind, for a script or a notebook to go on with."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.resolved import ResolvedExperiment
from records import files
from records.figures import Number, cell
from records.rows import read_object, read_rows
from records.text import plain_table, text_of

SHOWN = ("reward", "hacked")  # of each mode
FRAME = "width: 100%; height: 800px; border: 1px solid #ccc"


@dataclass(frozen=True, repr=False)
class RunRecord:
    """All of it stands in the run's folder, too."""

    folder: Path
    config: ResolvedExperiment
    metrics: list[dict[str, Number]]  # one row a step
    evaluation: dict[str, dict[str, Number]]  # by mode, at the end
    summary: dict[str, Any]

    def __repr__(self) -> str:
        """Folder, steps, and the evaluation at the end by mode."""
        table = plain_table(f"after {len(self.metrics)} steps", numbers=SHOWN)
        for mode, figures in self.evaluation.items():
            table.add_row(mode, *(cell(figures[name]) for name in SHOWN))
        return f"RunRecord({self.folder})\n{text_of(table)}"

    def report(self) -> "ShownPage":
        """Writes the run's page into its folder. A notebook shows what this gives; as text it is the page's path."""
        from reports import write_report  # with Altair, which training does without

        return ShownPage(write_report(self.folder))


@dataclass(frozen=True, repr=False)
class ShownPage:
    path: Path

    def __repr__(self) -> str:
        return str(self.path)

    def _repr_html_(self) -> str:
        """The whole page, whose scripts run in a frame of their own."""
        return f'<iframe srcdoc="{html.escape(self.path.read_text())}" style="{FRAME}"></iframe>'


def finished_record(path: Path, config: ResolvedExperiment) -> RunRecord:
    modes = read_object(path / files.EVALUATION)["modes"]
    return RunRecord(path, config, read_rows(path, files.METRICS), modes, read_object(path / files.SUMMARY))
