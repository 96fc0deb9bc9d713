"""The pages in a real browser that has no network: what is drawn, what the dropdowns do, and that text stays text.

Without a Chromium these tests are skipped, unless REQUIRE_BROWSER is set.
"""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from matplotlib.image import imread
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from sweeps.report import write_comparison, write_report
from tests.sweeps.report_runs import metric_rows, sample, write_run, write_sweep

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--no-first-run"]
DRAWN = "[...document.querySelectorAll('.chart')].every(chart => chart.querySelector('svg'))"
LINES = ".mark-line.role-mark path"


@dataclass
class Seen:
    """What a page did beside what it shows."""

    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        reason = f"no browser: none of {', '.join(NAMES)} is installed"
        pytest.fail(reason) if os.environ.get("REQUIRE_BROWSER") else pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(offline=True, viewport={"width": 1400, "height": 1000})
    yield context
    context.close()


@pytest.fixture(scope="module")
def sweep_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_sweep(tmp_path_factory.mktemp("sweeps") / "sweep"))


def opened(context: BrowserContext, path: Path, seen: Seen | None = None) -> Page:
    page, seen = context.new_page(), seen or Seen()
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("console", lambda message: seen.faults.append(message.text))
    page.on("pageerror", lambda error: seen.faults.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_function(DRAWN, timeout=30_000)
    return page


def lines(page: Page, chart: str) -> list[int]:
    """How many lines each panel of a chart has."""
    found = page.locator(f"#chart-{chart} g.mark-group.role-scope.concat_0_group, #chart-{chart} svg > g").first
    del found
    groups = page.eval_on_selector_all(
        f"#chart-{chart} g.role-frame",
        "frames => frames.length",
    )
    return [groups]


def count(page: Page, selector: str) -> int:
    return page.locator(selector).count()


def column(page: Page, table: str, number: int) -> list[str]:
    return [text.strip() for text in page.locator(f"#{table} tbody tr td:nth-child({number})").all_inner_texts()]


def header(page: Page, table: str, name: str) -> None:
    page.locator(f"#{table}_wrapper .dt-scroll-head th").filter(has_text=re.compile(f"^{re.escape(name)}$")).click()
