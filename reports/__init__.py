"""The page people look at: of a sweep, of a run also while it trains, and of two runs that are compared."""

from collections.abc import Callable, Iterable
from pathlib import Path

from configs.errors import UserError
from records.files import METRICS, SAMPLES
from records.names import RUNNING
from records.reader import is_run, is_sweep, read_rows, read_run, read_status, read_sweep
from reports.charts import TRAINING
from reports.comparison_page import comparison_page
from reports.page import check_replaceable, write_page
from reports.run_page import run_metrics, run_page
from reports.sweep_page import sweep_page

PAGE, COMPARISON = "report.html", "report_compare.html"
Track = Callable[[tuple], Iterable]


def write_report(folder: Path, out: Path | None = None, track: Track = iter) -> Path:
    """Writes the page of a sweep's or a run's folder, into it unless told where, and tells where.

    `track` shows progress over what it is given. Raises UserError for a folder that is neither, for damaged files, and where
    something else than an earlier report would be replaced.
    """
    path = out or folder / PAGE
    if not is_sweep(folder) and not is_run(folder):
        raise UserError(f"{folder}: neither a run's folder (config.yaml) nor a sweep's (sweep.json)")
    check_replaceable(path)
    if is_sweep(folder):
        return write_page(path, sweep_page(read_sweep(folder, TRAINING, track)))
    return write_page(path, run_page(read_run(folder, run_metrics)))


def write_comparison(a: Path, b: Path, out: Path | None = None) -> Path:
    """Writes the page that tells where two runs part, beside the first one's folder unless told where, and tells where.

    Raises UserError as `write_report` does.
    """
    path = out or a.parent / COMPARISON
    for folder in (a, b):
        if not is_run(folder):
            raise UserError(f"{folder}: not a run's folder (no config.yaml); two folders are compared when both are runs'")
    check_replaceable(path)
    first, second = (read_run(folder, lambda _: TRAINING) for folder in (a, b))
    running = {folder: read_status(folder)["state"] == RUNNING for folder in (a, b)}
    steps, samples = ([read_rows(folder, name, running[folder]) for folder in (a, b)] for name in (METRICS, SAMPLES))
    return write_page(path, comparison_page(first, second, steps, samples))
