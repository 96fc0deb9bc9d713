"""Python and settings in README.md and docs/ work; links, names of files and of entries lead somewhere."""

import re
from pathlib import Path

import pytest

import runs.trainer
import sweep
from tests.conftest import TINY, with_settings
from tests.docs.pages import PAGES, ROOT, blocks_in, run_python


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
@pytest.mark.usefixtures("few_stories")
def test_python_of_a_page_runs(page: Path, model_folder: Path, tmp_path: Path):
    settings = TINY | {"max_steps": 1, "model": str(model_folder), "output_dir": tmp_path}
    train = runs.trainer.train
    run_python(page, lambda experiment: train(with_settings(experiment, settings), quiet=True))


SETTINGS = [(page, block) for page in PAGES for block in blocks_in(page, "yaml")]
SWEEPS = [(page, block) for page in PAGES for block in blocks_in(page, "python") if "Sweep(" in block]


@pytest.mark.parametrize(("page", "block"), SETTINGS + SWEEPS, ids=[page.name for page, _ in SETTINGS + SWEEPS])
@pytest.mark.usefixtures("capsys")
def test_settings_of_a_page_are_accepted(page: Path, block: str, tmp_path: Path):  # noqa: ARG001
    is_sweep = "Sweep(" in block
    file = tmp_path / f"settings.{'py' if is_sweep else 'yaml'}"
    file.write_text(block)
    words = [str(file)] if is_sweep else ["--config", str(file), "--grid", "seed=1,2"]
    assert sweep.main([*words, "--output_dir", str(tmp_path), "--dry_run"]) == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_points_to_is_there(page: Path):
    text = page.read_text()
    links = [page.parent / link for link in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in link]
    rooms = "|".join({path.parent.name for path in ROOT.glob("*/*.py")})
    named = [ROOT / path for path in re.findall(rf"`((?:{rooms})/[\w/]*(?:\.\w+|/))`", text)]
    assert [str(path.relative_to(ROOT)) for path in links + named if not path.exists()] == []


def test_where_to_put_things_has_those_entries():
    rows = re.findall(r"^\| an? .*", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    assert len(rows) == 14
    for row in rows:
        code = re.findall(r"`([^`]+)`", row)
        source = "".join((ROOT / path).read_text() for path in code if path.endswith(".py"))
        entries = [name.strip("@()") for name in code if "/" not in name and not name.endswith(".py")]
        assert [entry for entry in entries if entry not in source] == [], row


def test_the_tree_names_every_room():
    (tree,) = [block for block in blocks_in(ROOT / "docs" / "architecture.md", "") if "launch.py" in block]
    assert {path.parent.name for path in ROOT.glob("*/*.py")} <= set(re.findall(r"^(\w+)/ ", tree, re.MULTILINE))


def test_pages_are_short():
    lines = {page.name: len(page.read_text().splitlines()) for page in PAGES}
    assert lines.pop("README.md") <= 110
    assert max(lines.values()) <= 160, lines
