"""A page in a browser: opening it, and what its charts show."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page

DRAWN = "[...document.querySelectorAll('.chart')].every(chart => chart.querySelector('svg.marks'))"
BAND, RAW, LINE, POINT = (f"[class*=layer_{i}_marks]" for i in range(4))  # of a chart over training


@dataclass
class Seen:
    """What a page did beside what it shows."""

    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def opened(context: BrowserContext, path: Path, seen: Seen | None = None, fragment: str = "") -> Page:
    page, seen = context.new_page(), seen or Seen()
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("console", lambda message: seen.faults.append(message.text))
    page.on("pageerror", lambda error: seen.faults.append(str(error)))
    page.goto(path.as_uri() + fragment)
    page.wait_for_function(DRAWN, timeout=30_000)
    return page


def chart(section: str, panel: str) -> str:
    return f'#chart-{section} [data-panel="{panel}"]'


def settled(page: Page) -> Page:
    """When what was changed is drawn."""
    page.wait_for_function("new Promise(done => requestAnimationFrame(() => setTimeout(() => done(true))))")
    return page


def marks(page: Page, section: str, panel: str, layer: str) -> list[dict[str, str]]:
    """What each mark of a layer (by its classes) says of itself to a screen reader: {name: value} of what it shows."""
    labels = settled(page).eval_on_selector_all(f"{chart(section, panel)} {layer} path", "all => all.map(one => one.ariaLabel)")
    return [dict(entry.split(": ", 1) for entry in label.split("; ")) for label in labels]


def mark_values(page: Page, section: str, panel: str, layer: str, *names: str) -> list[tuple[str, ...]]:
    return sorted(tuple(mark[name] for name in names) for mark in marks(page, section, panel, layer))


def drawn_rows(page: Page, section: str, panel: str, *names: str, dataset: str = "rows") -> list[tuple[Any, ...]]:
    """Of the rows that a chart draws the entries `names`, in its order."""
    script = """([section, panel, dataset]) => page.sections.find(each => each.name === section)
      .panels.find(each => each.name === panel).view.data(dataset).map(row => ({ ...row }))"""
    rows = settled(page).evaluate(script, [section, panel, dataset])
    return [tuple(row.get(name) for name in names) for row in rows]
