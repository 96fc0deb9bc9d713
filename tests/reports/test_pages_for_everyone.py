"""Pages of every kind as axe-core sees them, in both schemes, wide and narrow; their widths, and their sizes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page

from bench.report_page import copied_sweep
from reports import write_comparison, write_report
from reports.run_charts import CLASS_LINES
from reports.run_page import CURVES
from tests.reports.report_runs import metric_rows, mode_figures, sample, write_run, write_sweep
from tests.reports.test_answer_section import write_answered
from tests.reports.test_frontier_section import write_frontier

DRAWN = "[...document.querySelectorAll('.chart')].every(chart => chart.querySelector('svg.marks') || !chart.checkVisibility())"
SCHEMES = ("light", "dark")
MODES = ("both", "retain_only", "forget_only", "base")
TEXT = "her heart felt light and happy. " * 22  # as long as pages show of a completion
HAPPY = [[start, start + 5] for start in range(25, 700, 32)]


def full_run(folder: Path, steps: int, logged: int) -> Path:
    """With every curve that there is, and samples as long and as marked as they get, of training at so many steps."""
    shown = {"prompt_index": 1, "marks": HAPPY, "hacked": True, "components": {"task": 0.5, "hack": 0.1}}
    samples = [sample(TEXT, step=i, prompt=f"p{p}", **shown) for i in range(logged) for p in (0, 1) for _ in range(3)]
    finals = [sample(TEXT, mode, prompt=f"p{i}", **shown) for mode in MODES for i in range(6)]
    figures = mode_figures(0.512, 0.251, **{"rewards/task": 0.5, "rewards/hack": 0.1, "kl_to_base": 0.123})
    evaluations = [{"step": i * steps // 10, "mode": mode} | figures for i in range(11) for mode in MODES]
    parts = {"samples": samples, "finals": finals, "modes": dict.fromkeys(MODES, figures), "evaluations": evaluations}
    values = [(i * 0.0123457) % 1 for i in range(steps)]
    rows = [row | dict.fromkeys((*CURVES, *CLASS_LINES), value) for row, value in zip(metric_rows(values), values, strict=True)]
    return write_run(folder, rows, config={"max_steps": steps}, times=[0.5] * steps, **parts)


def sweep_page(folder: Path) -> Path:
    return write_report(write_sweep(folder / "sweep"))


def answered_page(folder: Path) -> Path:
    return write_report(write_answered(folder / "sweep", {"r1": 2, "r2": 1, "u1": 4, "u2": 4}))


def frontier_page(folder: Path) -> Path:
    return write_report(write_frontier(folder / "sweep"))


def run_page(folder: Path) -> Path:
    logged = [sample("a happy end", step=step, marks=[[2, 7]], hacked=True) for step in (0, 10)]
    return write_report(write_run(folder / "run", metric_rows([0.1, 0.2]), samples=logged, state="failed", error="StepError: no"))


def pair_page(folder: Path) -> Path:
    sweep, name = write_sweep(folder / "sweep"), "sentiment_routed_duallora4x4_lr1e-3_beta0.02_bs32_s42_max_steps300_eval_every50"
    runs = [(sweep / run).rename(sweep / f"{name}_{run}") for run in ("a1", "b2")]
    return write_comparison(runs, folder / "pair.html")


def many_page(folder: Path) -> Path:
    return write_comparison([write_sweep(folder / "sweep")], folder / "many.html")


# Two frames later all has the colours of the scheme.
PAINTED = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
PAGES = (sweep_page, answered_page, frontier_page, run_page, pair_page, many_page)


@pytest.fixture(scope="module", params=PAGES, ids=lambda make: make.__name__)
def page_file(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    make: Callable[[Path], Path] = request.param
    return make(tmp_path_factory.mktemp("pages"))


@pytest.fixture
def seen(browser: Browser, page_file: Path) -> Iterator[Page]:
    context = browser.new_context(offline=True, bypass_csp=True)  # so that axe-core may be put into the page
    page = context.new_page()
    page.goto(page_file.as_uri())
    page.wait_for_function(DRAWN, timeout=30_000)
    page.evaluate("for (const one of [...document.querySelectorAll('details.fold')].slice(0, 3)) one.open = true")
    yield page
    context.close()


def test_axe_core_finds_nothing_serious(seen: Page):
    """Nor anything less, of what it can tell by itself: names, roles, contrast, what the keyboard reaches."""
    seen.evaluate(AXE_SCRIPT)
    for width in (1400, 390):
        seen.set_viewport_size({"width": width, "height": 1000})
        for scheme in SCHEMES:
            seen.emulate_media(color_scheme=scheme)
            seen.wait_for_function(DRAWN)
            seen.evaluate(
                "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
            )  # in its colours
            found = seen.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]
            told = [
                (each["id"], each["impact"], each["nodes"][0]["target"], each["nodes"][0]["failureSummary"]) for each in found
            ]
            assert told == [], f"{width} pixels, {scheme}"


def test_nothing_lies_off_the_screen_but_what_scrolls_in_a_place_of_its_own(seen: Page):
    for width in (1400, 800, 390):
        seen.set_viewport_size({"width": width, "height": 1000})
        seen.wait_for_function(DRAWN)
        assert seen.evaluate("document.documentElement.scrollWidth") == width


# Sizes. Curves are thinned to as many points, and samples to as few steps, however long a run is.


def test_a_run_s_page_is_below_2_mb(tmp_path: Path):
    assert write_report(full_run(tmp_path / "run", steps=2000, logged=200)).stat().st_size < 2e6


def test_a_page_of_200_runs_is_below_6_mb(tmp_path: Path):
    assert (
        write_report(copied_sweep(full_run(tmp_path / "run", steps=100, logged=6), 200, tmp_path / "sweep")).stat().st_size < 6e6
    )
