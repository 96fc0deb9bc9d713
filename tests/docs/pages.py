"""The pages that people read, and what stands in them."""

import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import runs.trainer
from configs.experiment import Experiment

FILE = re.compile(r"# (\w+\.py)\n")
ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """`uv run WORDS` of a page; `long` when the page says that it takes long."""

    page: str
    words: tuple[str, ...]
    long: bool = False

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def commands_in(page: str, text: str) -> Iterator[Command]:
    """Those in blocks, with `# long: ...` behind them where they take long, and those in sentences, with `, long: ...`."""
    text = text.replace("\\\n", " ")
    for line in re.findall(r"^\s*uv run .*", text, re.MULTILINE):
        yield Command(page, of_the_project(shlex.split(line, comments=True)[2:]), " # long: " in line)
    sentences = " ".join(line for line in FENCED.sub("", text).splitlines() if not line.startswith("    "))
    for code, after in re.findall(r"`uv run ([^`]+)`(.{0,10})", sentences):
        yield Command(page, of_the_project(shlex.split(code)), after.startswith(", long: "))


def of_the_project(words: list[str]) -> tuple[str, ...]:
    """Without the packages that uv is to add."""
    while words[0] == "--with":
        words = words[2:]
    return tuple(words)


def blocks_in(page: Path, language: str) -> list[str]:
    return [block for name, block in FENCED.findall(page.read_text()) if name == language]


def files_in(page: Path) -> dict[str, str]:
    """Files that a reader is to write: blocks that begin with `# NAME.py`, those of one name one after another."""
    files: dict[str, str] = {}
    for block in blocks_in(page, "python"):
        if name := FILE.match(block):
            files[name[1]] = files.get(name[1], "") + block
    return files


def run_python(page: Path, train: Callable[[Experiment], object]) -> dict[str, Any]:
    """A page's other blocks, one after another in one namespace, which is returned; they train with `train`."""
    names: dict[str, Any] = {"__name__": page.stem}
    text = page.read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs.trainer, "train", train)
        for block in FENCED.finditer(text):
            if block[1] == "python" and not FILE.match(block[2]):
                lines_before = "\n" * text[: block.start(2)].count("\n")  # so that a function's source is found on the page
                exec(compile(lines_before + block[2], str(page), "exec"), names)
    return names
