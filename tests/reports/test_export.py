"""What `--export` writes: a picture of every panel, with its legend, and tables with the figures of the page."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
import vl_convert

import report
from records.reader import read_run, read_sweep
from reports import write_comparison, write_report
from reports.charts import TRAINING, Spec
from reports.export import TABLES, cell_markdown, panel_pictures, picture_name, table_markdown, write_export
from reports.run_page import run_metrics, run_page
from reports.sections import Page
from reports.sweep_page import sweep_page
from reports.tables import Cell, Table, interval_cell, number_cell, text_cell
from tests.helpers import pixels_of
from tests.reports.report_runs import metric_rows, mode_figures, write_run, write_sweep
from tests.reports.test_answer_section import write_answered
from tests.test_report import refusal, run_door


def page_of_sweep(folder: Path) -> Page:
    return sweep_page(read_sweep(folder, TRAINING, iter))


def png_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.png"))


def pictures_of(page: Page) -> list[str]:
    return [picture_name(each.name, panel.name) for each in page.sections if each.charts for panel in each.charts.panels]


class PageTables(HTMLParser):
    """The bodies of the tables of a page that are no samples: {id: rows of (text, small print)}."""

    def __init__(self, page: str):
        super().__init__()
        self.tables: dict[str, list[list[tuple[str, str]]]] = {}
        self.table, self.cell, self.is_small = "", None, False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag == "table":
            self.table = dict(attrs).get("id") or ""
            self.tables[self.table] = []
        elif tag == "tbody":
            self.rows = self.tables[self.table]
        elif tag == "tr" and hasattr(self, "rows"):
            self.rows.append([])
        elif tag == "td" and hasattr(self, "rows"):
            self.cell = ["", ""]
        self.is_small = tag == "small"

    def handle_endtag(self, tag: str) -> None:
        if tag == "td" and self.cell:
            text, small = self.cell
            self.rows[-1].append((text.strip(), small.strip()))
            self.cell = None
        elif tag == "tbody":
            del self.rows
        self.is_small = False

    def handle_data(self, data: str) -> None:
        if self.cell:
            self.cell[self.is_small] += data


def markdown_tables(text: str) -> list[list[list[str]]]:
    """The bodies of pipe tables as rows of cells."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    return [[[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block[2:]] for block in blocks]


def as_markdown(text: str, small: str) -> str:
    """A cell of the page as tables.md is to have it."""
    ends, note = re.match(r"(?:(-?[\d.]+ to -?[\d.]+)(?:, |$))?(.*)", small).groups()
    return text + (f" [{ends.replace(' to ', ', ')}]" if ends else "") + (f" ({note})" if note else "")


@pytest.mark.parametrize("make", [write_sweep, lambda folder: write_answered(folder, {"r1": 2, "r2": 1, "u1": 4, "u2": 4})])
def test_tables_have_the_figures_of_the_page(tmp_path: Path, make):
    folder = make(tmp_path / "sweep")
    page = write_report(folder, export=tmp_path / "figures")
    on_page = [rows for name, rows in PageTables(page.read_text()).tables.items() if name]
    text = (tmp_path / "figures" / TABLES).read_text()
    assert len(on_page) >= 3
    assert markdown_tables(text) == [[[as_markdown(*cell) for cell in row] for row in rows] for rows in on_page]


def test_the_figures_of_two_seeds_by_hand(tmp_path: Path):
    """Task rewards 0.8 and 0.7: half of Student's interval is 12.706 times 0.0707 by the root of 2."""
    write_export(tmp_path / "figures", page_of_sweep(write_sweep(tmp_path / "sweep")))
    text = (tmp_path / "figures" / TABLES).read_text()
    assert "\n| configuration | runs | task reward: both |" in text and "\n| --- | --- | ---: |" in text
    assert "\n| routed beta=0.01 | 2 of 2 | 0.750 [0.115, 1.385] | 0.650 [0.015, 1.285] |" in text


def test_sentences_and_notes_stand_under_their_titles(tmp_path: Path):
    page = page_of_sweep(write_answered(tmp_path / "sweep", {"r1": 2, "r2": 1, "u1": 4, "u2": 4}))
    write_export(tmp_path / "figures", page)
    text = (tmp_path / "figures" / TABLES).read_text()
    answer = next(section for section in page.sections if section.name == "answer")
    assert len(answer.sentences) > 1
    listed = "\n".join(f"- {sentence}" for sentence in answer.sentences)
    assert f"## {answer.title}\n\n{answer.note}\n\n{listed}\n\n| configuration |" in text
    assert "- seeds: 1, 2\n" in text and "A click on a run" not in text


# Pictures


def test_every_panel_of_a_sweep_s_page_is_a_picture(tmp_path: Path):
    page = page_of_sweep(write_sweep(tmp_path / "sweep"))
    write_export(tmp_path / "figures", page)
    assert png_names(tmp_path / "figures") == sorted(pictures_of(page))
    assert {"training_reward.png", "training_routing-hacked.png", "ablation_hacked-retain_only.png", "pareto_ends.png"} <= {
        *png_names(tmp_path / "figures")
    }
    text = (tmp_path / "figures" / TABLES).read_text()
    assert re.findall(r"!\[[^]]+\]\(([^)]+)\)", text) == pictures_of(page)


def test_pictures_are_as_wide_as_a_column_of_text_and_not_empty(tmp_path: Path):
    write_export(tmp_path / "figures", page_of_sweep(write_sweep(tmp_path / "sweep")))
    for picture in (tmp_path / "figures").glob("*.png"):
        pixels = pixels_of(picture)
        coloured = pixels.max(2) - pixels.min(2) > 0.2
        assert 1100 < pixels.shape[1] < 1500 and (pixels[0] == 1).all(), "two pixels for each of the page's, on white"
        assert coloured.mean() > 0.001, picture.name


def texts_of(spec: Spec) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]+)<", vl_convert.vegalite_to_svg(spec))


def test_a_picture_has_a_legend_of_what_is_drawn(tmp_path: Path):
    """The run that waits is drawn nowhere."""
    specs = panel_pictures(page_of_sweep(write_sweep(tmp_path / "sweep")))
    texts = texts_of(specs["training_reward.png"])
    names = ["routed beta=0.01", "routed beta=0.02", "lora beta=0.01"]
    assert [text for text in texts if "beta" in text] == names and {"Reward in training", "mean reward"} <= {*texts}
    svg = vl_convert.vegalite_to_svg(specs["training_reward.png"])
    assert {"#0072b2", "#d55e00", "#008a64"} <= {*re.findall(r'stroke="(#\w+)"', svg)}
    assert {"both (or policy)", "retain_only", "forget_only", "base", "routed", "lora"} <= {*texts_of(specs["pareto_ends.png"])}
    assert "lora beta=0.01" not in texts_of(specs["ablation_reward-retain_only.png"])


def test_an_axis_that_is_chosen_on_the_page_says_what_it_is(tmp_path: Path):
    texts = texts_of(panel_pictures(page_of_sweep(write_sweep(tmp_path / "sweep")))["pareto_ends.png"])
    assert "task reward" in texts and not any("as chosen" in text for text in texts)


def evaluated(folder: Path) -> Path:
    rows = [row | {"advantage/good": 0.25, "advantage/bad": -0.5} for row in metric_rows([0.1, 0.2, 0.3])]
    evaluations = [{"step": step, "mode": mode} | mode_figures(0.5, 0.25) for step in (0, 3) for mode in ("both", "base")]
    return write_run(folder, rows, evaluations=evaluations)


def test_one_run_s_page_is_exported(tmp_path: Path):
    page = run_page(read_run(evaluated(tmp_path / "run"), run_metrics))
    write_export(tmp_path / "figures", page)
    assert png_names(tmp_path / "figures") == sorted(pictures_of(page))
    specs = panel_pictures(page)
    assert {"both", "base"} <= {*texts_of(specs["ablation_hacked.png"])}
    assert {"good", "bad"} <= {*texts_of(specs["classes_advantage.png"])}
    assert "| seed | 1 |" in (tmp_path / "figures" / TABLES).read_text(), "the settings, folded on the page"


@pytest.mark.parametrize("count", [2, 3])
def test_runs_that_are_compared_are_exported(tmp_path: Path, count: int):
    runs = [evaluated(tmp_path / name) for name in "abc"[:count]]
    write_comparison(runs, export=tmp_path / "figures")
    names = png_names(tmp_path / "figures")
    assert "training_kl.png" in names and ("training_kl-difference.png" in names) == (count == 2)


# Markdown


def test_what_is_markup_to_markdown_stays_text():
    rows = [[text_cell("a|b *c* <i>`d`"), number_cell(0.25)], [text_cell("e\nf"), number_cell(None)]]
    assert table_markdown(Table("t", ["na|me", "v"], rows, groups=[("", 1), ("rate", 1)])).splitlines() == [
        r"| na\|me | rate: v |",
        "| --- | ---: |",
        r"| a\|b \*c\* \<i>\`d\` | 0.250 |",
        "| e f | – |",
    ]


def test_cells_say_interval_and_note_and_what_was_cut_short_in_full():
    assert cell_markdown(interval_cell(0.25, [0.125, 0.5], "n = 3 seeds")) == "0.250 [0.125, 0.500] (n = 3 seeds)"
    assert cell_markdown(interval_cell(0.25, None)) == "0.250"
    assert (
        cell_markdown(Cell("a…z", title="a to z")) == "a to z" and cell_markdown(Cell("both +1", title="both, base")) == "both +1"
    )


# Where it is written


def test_the_door_says_where_both_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = evaluated(tmp_path / "run")
    assert run_door(capsys, run, "--export", tmp_path / "figures") == f"{run / 'report.html'}\n{tmp_path / 'figures'}\n"


def test_an_earlier_export_is_replaced_and_what_is_not_of_it_stays(tmp_path: Path):
    run, figures = evaluated(tmp_path / "run"), tmp_path / "figures"
    write_comparison([run, evaluated(tmp_path / "other")], export=figures)
    (figures / "mine.png").write_text("mine")
    write_report(run, export=figures)
    names = png_names(figures)
    assert "training_kl.png" in names and "training_kl-difference.png" not in names
    assert (figures / "mine.png").read_text() == "mine"


def test_slips_get_one_line_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run, file = evaluated(tmp_path / "run"), tmp_path / "file"
    file.write_text("mine")
    other = "holds something else than an earlier export, so it stays; accepted: a new folder"
    for place, said in ((file, "is no folder"), (tmp_path / "no" / "x", f"there is no folder {tmp_path / 'no'}"), (run, other)):
        assert refusal(capsys, run, "--export", place) == f"--export {place}: {said}"
        assert refusal(capsys, run, run, "--export", place) == f"--export {place}: {said}"
    assert file.read_text() == "mine" and not (run / "report.html").exists() and not list(tmp_path.rglob(TABLES))


def test_a_page_that_can_not_be_written_is_refused_before_anything_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = evaluated(tmp_path / "run")
    (run / "report.html").write_text("mine")
    assert "exists and is no report" in refusal(capsys, run, "--export", tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


def test_help_names_it(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        report.main(["--help"])
    assert "--export" in capsys.readouterr().out
