"""Pictures of a sweep, a run or runs that are compared as one page: `uv run report.py output/SWEEP`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from configs.cli import parse, run_main
from configs.errors import UserError

DESCRIPTION = """Write one page about a sweep, a run (also while it trains), or runs compared. It opens anywhere, offline.

Example: uv run report.py output/RUN
Example: uv run report.py output/RUN_A output/RUN_B --out compared.html
Example: uv run report.py output/*_s42_*
Example: uv run report.py output/SWEEP --export figures"""


@dataclass(frozen=True)
class ReportOptions:
    folders: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER [FOLDER ...]")]
    """A sweep's folder or a run's. Several are compared, all runs in them, and so are the runs in a folder that is neither."""
    out: Path | None = None
    """The page to write; by default FOLDER/report.html. A comparison's is report_compare.html, in a folder of runs or beside the
    first of several folders."""
    export: Path | None = None
    """A new folder for what the page shows: each chart as it opens, a PNG with its legend, and tables.md, which has the tables
    and sentences. An earlier export there is replaced."""


def report(words: Sequence[str]) -> None:
    options = parse(ReportOptions, words, DESCRIPTION, "report.py")
    if not options.folders:
        raise UserError("FOLDER: none is given; accepted: a sweep's or a run's, or several to compare")
    from rich.console import Console  # after parsing, so that typing errors answer at once
    from rich.progress import track

    from reports import write_page_of

    console = Console(stderr=True)
    quiet = not console.is_terminal
    read = partial(track, description="reading runs", console=console, disable=quiet)
    print(write_page_of(options.folders, options.out, options.export, read))
    if options.export:
        print(options.export)


def main(words: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if words is None else words
    return run_main(lambda: report(given))


if __name__ == "__main__":
    sys.exit(main())
