"""The notebook in docs/ runs, and shows what it should: one bar a run, the record, the page, and no warning."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from ipykernel.kernelspec import install
from nbclient import NotebookClient

from tests.helpers import STORIES

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
FEW_STORIES = f"""from models.nursery import generator
generator.TRAIN_STORIES, generator.TEST_STORIES = {STORIES["train"]}, {STORIES["test"]}"""


def read() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[list[dict[str, Any]]]:
    """Of each code cell, the notebook executed in a folder of its own: two steps, few stories."""
    folder = tmp_path_factory.mktemp("notebook")
    (folder / "docs").mkdir()
    notebook = read()
    first = notebook.cells[1]
    assert "STEPS = 60" in first.source
    first.source = f"{first.source.replace('STEPS = 60', 'STEPS = 2')}\n{FEW_STORIES}"
    install(prefix=str(folder / "kernel"))  # of this Python, wherever it is
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("OMP_NUM_THREADS", "1")  # a second thread may wait for a core that another test has
        patch.setenv("JUPYTER_PATH", str(folder / "kernel" / "share" / "jupyter"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        NotebookClient(notebook, resources={"metadata": {"path": str(folder / "docs")}}, timeout=300).execute()
    assert len(list((folder / "output").glob("*/report.html"))) == 1
    return [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]


def texts(outputs: list[dict[str, Any]]) -> list[str]:
    """What each output says, as text."""
    return [each.get("text") or each["data"]["text/plain"] for each in outputs]


def test_the_repository_has_it_without_outputs():
    assert [cell for cell in read().cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)] == []


def test_a_run_shows_one_bar_which_ends_full(outputs: list[list[dict[str, Any]]]):
    for cell in (outputs[1], outputs[4]):
        bars = [text for text in texts(cell) if "2/2" in text]
        assert len(bars) == 1 and "reward" in bars[0] and "━" in bars[0]


def test_nothing_warns(outputs: list[list[dict[str, Any]]]):
    said = "\n".join(text for cell in outputs for text in texts(cell)).lower()
    assert "warning" not in said and "ipywidgets" not in said
    assert {each["output_type"] for cell in outputs for each in cell} == {"display_data", "execute_result"}


def test_tables_go_where_they_are_written_to(outputs: list[list[dict[str, Any]]]):
    """And not into the notebook, as rich would have it."""
    (evaluation,) = [text for text in texts(outputs[1]) if text.startswith("[Evaluation @ 0]")]
    assert evaluation.splitlines()[1].split() == ["base"] and evaluation.splitlines()[2].startswith("reward")


def test_the_record_is_a_few_lines(outputs: list[list[dict[str, Any]]]):
    lines = texts(outputs[1])[-1].splitlines()
    assert lines[0].startswith("RunRecord(output/sentiment_routed_")
    assert lines[1].split() == ["after", "2", "steps", "reward", "hacked"]
    assert [line.split()[0] for line in lines[2:]] == ["both", "retain_only", "forget_only", "base"]


def test_the_page_is_shown_in_a_frame(outputs: list[list[dict[str, Any]]]):
    (page,) = outputs[3]
    assert page["data"]["text/plain"].endswith("report.html")
    assert page["data"]["text/html"].startswith('<iframe srcdoc="&lt;!')


def test_two_runs_are_compared_by_mode(outputs: list[list[dict[str, Any]]]):
    table = outputs[4][-1]["data"]["text/html"]
    assert all(f"<th>{mode}</th>" in table for mode in ("both", "retain_only", "forget_only", "base"))
    assert "no masks" in table
