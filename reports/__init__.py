"""The page people look at: of a sweep, of a run also while it trains, and of runs that are compared."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from configs.errors import UserError
from records.files import METRICS, SAMPLES
from records.names import RUNNING
from records.reader import RunFiles, is_run, is_sweep, read_rows, read_run, read_status, read_sweep, with_few_samples
from reports.charts import TRAINING
from reports.comparison_page import comparison_page
from reports.export import check_exportable, write_export
from reports.loose import distinct_names, loose_sweep, runs_in
from reports.many_page import many_page
from reports.page import check_replaceable, write_page
from reports.run_page import run_metrics, run_page
from reports.sections import Page
from reports.sweep_page import sweep_page

PAGE, COMPARISON = "report.html", "report_compare.html"
Track = Callable[[tuple], Iterable]


def write_page_of(folders: Sequence[Path], out: Path | None = None, export: Path | None = None, track: Track = iter) -> Path:
    """`write_report` of a sweep's or a run's folder, `write_comparison` of several and of a folder of runs."""
    is_one = len(folders) == 1 and (is_sweep(folders[0]) or not runs_in(folders[0]) or is_run(folders[0]))
    return write_report(folders[0], out, export, track) if is_one else write_comparison(folders, out, export, track)


def write_report(folder: Path, out: Path | None = None, export: Path | None = None, track: Track = iter) -> Path:
    """Writes the page of a sweep's or a run's folder, into it unless told where, and tells where.

    `export` is a folder for its pictures and tables by themselves, `track` shows progress over what it is given. Raises UserError
    for a folder that is neither, for damaged files, and where something else than an earlier report or export would be replaced.
    """
    path = out or folder / PAGE
    if not is_sweep(folder) and not is_run(folder):
        raise UserError(f"{folder}: neither a run's folder (config.yaml) nor a sweep's (sweep.json)")
    check_places(path, export)
    if is_sweep(folder):
        return write_files(path, export, sweep_page(read_sweep(folder, TRAINING, track)))
    return write_files(path, export, run_page(read_run(folder, run_metrics)))


def check_places(path: Path, export: Path | None) -> None:
    """Before anything is read. Raises UserError."""
    check_replaceable(path)
    if export is not None:
        check_exportable(export)


def write_files(path: Path, export: Path | None, page: Page) -> Path:
    if export is not None:
        write_export(export, page)
    return write_page(path, page)


def write_comparison(folders: Sequence[Path], out: Path | None = None, export: Path | None = None, track: Track = iter) -> Path:
    """Writes the page that compares all runs in these folders, each a run's or one of runs', and tells where.

    Of two runs it tells where they part; more have the page of a sweep. Unless told where, it goes into the folder, if only one
    is given, or beside the first. Raises UserError as `write_report` does.
    """
    for folder in folders:
        if not runs_in(folder):
            raise UserError(f"{folder}: neither a run's folder (config.yaml) nor one of runs, nor a sweep's (sweep.json)")
    runs = list(dict.fromkeys(run for folder in folders for run in runs_in(folder)))
    path = out or (folders[0] if len(folders) == 1 else folders[0].parent) / COMPARISON
    check_places(path, export)
    if len(runs) == 1:
        return write_report(runs[0], out, export, track)
    if len(runs) == 2:
        return write_files(path, export, _pair_page(*runs))
    names, found = distinct_names(runs), track(tuple(runs))
    read = [replace(read_few(folder), name=name) for folder, name in zip(found, names, strict=True)]
    return write_files(path, export, many_page(loose_sweep(f"{len(runs)} runs", read)))


def read_few(folder: Path) -> RunFiles:
    """A run as `read_sweep` has it."""
    run = read_run(folder, lambda _: TRAINING)
    return with_few_samples(run)


def _pair_page(a: Path, b: Path) -> Page:
    first, second = (read_run(folder, lambda _: TRAINING) for folder in (a, b))
    running = {folder: read_status(folder)["state"] == RUNNING for folder in (a, b)}
    steps, samples = ([read_rows(folder, name, running[folder]) for folder in (a, b)] for name in (METRICS, SAMPLES))
    return comparison_page(first, second, steps, samples)
