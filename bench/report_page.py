"""How large a sweep's report becomes, and how soon a browser has drawn it.

`uv run python -m bench.report_page output/RUN --runs 200` copies a finished run into a sweep of so many (five seeds of every
configuration), writes its report, opens it in headless Chromium and prints the page's size, the seconds until the charts in
view are drawn and the tables answer, and the seconds until all charts are drawn.
"""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import tyro
import yaml
from playwright.sync_api import sync_playwright

from configs.cli import run_main
from configs.errors import UserError
from records.folder import write_json
from records.rows import read_object
from reports import write_report

SEEDS = 5
IN_VIEW = "filter(chart => chart.getBoundingClientRect().top < innerHeight)"
DRAWN = "[...document.querySelectorAll('.chart')].WHICH.every(chart => chart.querySelector('svg.marks'))"
READY = f"{DRAWN.replace('WHICH', IN_VIEW)} && document.querySelector('table.dataTable')"


def copied_sweep(run: Path, count: int, folder: Path) -> Path:
    """A sweep of `count` runs that differ in seed and beta alone; their other files are links to those of `run`."""
    settings = yaml.safe_load((run / "config.yaml").read_text())
    config_hash = read_object(run / "run.json")["config_hash"]
    runs = []
    for i in range(count):
        name, values = f"run_{i}", {"beta": round(0.001 * (1 + i // SEEDS), 3), "seed": i % SEEDS}
        (folder / name).mkdir(parents=True)
        for file in run.iterdir():
            if file.is_file() and file.name not in ("config.yaml", ".lock"):
                os.link(file, folder / name / file.name)
        (folder / name / "config.yaml").write_text(yaml.safe_dump(settings | values, sort_keys=False))
        runs.append({"name": name, "config_hash": config_hash, "kind": "routed", "values": values,
                     "configuration": f"routed beta={values['beta']}", "baseline_of": []})  # fmt: skip
    write_json(folder / "sweep.json", {"name": folder.name, "axes": ["beta", "seed"], "runs": runs})
    return folder


def opening_times(page: Path, program: str) -> list[tuple[float, float]]:
    """Seconds from opening until what is in view is ready, and until all charts are drawn; three times."""
    times = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(3):
            opened = browser.new_context(offline=True).new_page()
            start = time.perf_counter()
            opened.goto(page.absolute().as_uri(), wait_until="commit")
            opened.wait_for_function(READY)
            ready = time.perf_counter() - start
            opened.wait_for_function(DRAWN.replace("WHICH.", ""))
            times.append((ready, time.perf_counter() - start))
        browser.close()
    return times


def time_report(run: tyro.conf.Positional[Path], runs: int = 200) -> None:
    """How large the report of a sweep is that has so many copies of a finished run, and how soon a browser has drawn it."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        raise UserError("no Chromium is installed")
    with tempfile.TemporaryDirectory(dir=run.parent) as temporary:
        sweep = copied_sweep(run, runs, Path(temporary) / "sweep")
        start = time.perf_counter()
        page = write_report(sweep)
        print(f"written in {time.perf_counter() - start:.1f} s, {page.stat().st_size / 1e6:.1f} MB")
        for ready, drawn in opening_times(page, program):
            print(f"ready after {ready:.2f} s, all charts drawn after {drawn:.2f} s")


def main() -> int:
    return run_main(lambda: tyro.cli(time_report, use_underscores=True))


if __name__ == "__main__":
    sys.exit(main())
