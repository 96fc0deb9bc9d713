"""Pictures of a sweep, a run or two runs as one page: `uv run report.py output/SWEEP`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from configs.cli import parse, run_main
from configs.errors import UserError

DESCRIPTION = """Write one page about a sweep, a run (also while it trains), or two runs compared. It opens anywhere, offline.

Example: uv run report.py output/RUN
Example: uv run report.py output/RUN_A output/RUN_B --out compared.html"""


@dataclass(frozen=True)
class ReportOptions:
    folders: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER [FOLDER]")]
    """A sweep's folder or a run's; two runs' are compared."""
    out: Path | None = None
    """The page to write; by default FOLDER/report.html, and for two runs report_compare.html beside the first."""


def report(words: Sequence[str]) -> None:
    options = parse(ReportOptions, words, DESCRIPTION, "report.py")
    if len(options.folders) not in (1, 2):
        raise UserError(f"{len(options.folders)} folders: give a sweep's or a run's, or two runs' to compare")
    from rich.console import Console  # after parsing, so that typing errors answer at once
    from rich.progress import track

    from reports import write_comparison, write_report

    console = Console(stderr=True)
    first, *second = options.folders
    if second:
        with console.status("comparing"):
            page = write_comparison(first, second[0], options.out)
    else:
        quiet = not console.is_terminal
        page = write_report(first, options.out, lambda runs: track(runs, "reading runs", console=console, disable=quiet))
    print(page)


def main(words: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if words is None else words
    return run_main(lambda: report(given))


if __name__ == "__main__":
    sys.exit(main())
