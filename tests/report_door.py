"""What the tests of `report.py` stand on: its door, and what a reader finds on a page."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import report
from tests.helpers import one_line_error
from tests.reports.test_run_charts import unpacked


class Text(HTMLParser):
    """What a reader sees: text outside scripts and styles."""

    def __init__(self, page: str):
        super().__init__()
        self.hidden, self.parts = False, []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:  # noqa: ARG002
        self.hidden = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002
        self.hidden = False

    def handle_data(self, data: str) -> None:
        self.parts += [] if self.hidden else [data]


def text_of(path: Path) -> str:
    return " ".join(" ".join(Text(path.read_text()).parts).split())


def charts(path: Path, name: str) -> dict[str, Any]:
    """What the page's script is given of a section, its rows unpacked."""
    script = re.search(rf'data-charts="{name}">(.*?)</script>', path.read_text(), re.DOTALL)
    assert script, name
    section = json.loads(script[1])
    return section | {"rows": unpacked(section["lines"])}


def titles(section: dict[str, Any]) -> list[str]:
    return [panel["title"] for panel in section["panels"]]


def run_door(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    assert report.main([*map(str, words)]) == 0
    return capsys.readouterr().out


def refusal(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    return one_line_error(report.main, capsys, *words)
