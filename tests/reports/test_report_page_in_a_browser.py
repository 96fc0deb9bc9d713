"""The pages in a real browser that has no network: what is drawn, what the dropdowns do, and that text stays text."""

import re
from itertools import product
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Dialog, Page
from pytest import approx

from reports import write_comparison, write_report
from tests.helpers import pixels_of
from tests.reports.pages import BAND, LINE, Seen, chart, drawn_rows, mark_values, marks, opened
from tests.reports.report_runs import metric_rows, mode_figures, planned, sample, write_plan, write_run
from tests.reports.test_answer_section import write_answered


def column(page: Page, table: str, number: int) -> list[str]:
    return [text.strip() for text in page.locator(f"#{table} tbody tr td:nth-child({number})").all_inner_texts()]


def sort_by(page: Page, table: str, name: str, direction: str) -> None:
    head = page.locator(f"#{table}_wrapper .dt-scroll-head th").filter(has_text=re.compile(f"^{re.escape(name)}$"))
    head.last.click()
    page.locator(f"#{table}_wrapper .dt-scroll-head th[aria-sort={direction}]").wait_for()


ENDS = "[class*=layer_3_marks]"


def test_a_sweep_opens_without_a_network_and_without_a_complaint(context: BrowserContext, sweep_page: Path, tmp_path: Path):
    seen = Seen()
    page = opened(context, sweep_page, seen)
    assert (seen.requests, seen.faults) == ([sweep_page.as_uri()], [])
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    pixels = pixels_of(tmp_path / "page.png")
    assert pixels.shape[1] == 1400 and pixels.shape[0] > 2000
    assert pixels.std() > 0.05 and len({*map(tuple, (pixels[::7, ::7].reshape(-1, 3) * 255).astype(int).tolist())}) > 50


def test_the_curves_are_drawn_as_the_files_have_them(context: BrowserContext, sweep_page: Path):
    """Three configurations have trained; each line starts at its mean of step 0, each band at its lowest and highest seed."""
    page = opened(context, sweep_page)
    lines = mark_values(page, "training", "reward", LINE, "label", "step", "value")
    assert lines == [("lora beta=0.01", "0", "0.9"), ("routed beta=0.01", "0", "0.2"), ("routed beta=0.02", "0", "0.6")]
    assert ("routed beta=0.01", 0, 0.1, 0.3) in drawn_rows(page, "training", "reward", "label", "x", "low", "high")
    assert page.locator(f"{chart('training', 'reward')} {BAND} path").count() == 3
    path = page.locator(f"{chart('training', 'reward')} {LINE} path").first.get_attribute("d") or ""
    assert len(re.findall("[ML]", path)) == 4, "four steps"
    for panel in ("routing/hacked", "kl"):
        assert len(marks(page, "training", panel, LINE)) == 3


def test_a_filter_leaves_what_it_says_in_every_chart(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)
    page.select_option("#filter0", label="0.01")
    assert mark_values(page, "training", "reward", LINE, "label") == [("lora beta=0.01",), ("routed beta=0.01",)]
    assert mark_values(page, "ablation", "reward-retain_only", LINE, "label") == [("routed beta=0.01",)]
    assert {mark["label"] for mark in marks(page, "pareto", "ends", ENDS)} == {"lora beta=0.01", "routed beta=0.01"}
    page.select_option("#filterkind", label="lora")
    assert mark_values(page, "training", "reward", LINE, "label") == [("lora beta=0.01",)]
    page.select_option("#filter0", label="0.02")
    assert marks(page, "training", "reward", LINE) == []
    page.select_option("#filter0", label="all")
    page.select_option("#filterkind", label="all")
    assert len(marks(page, "training", "reward", LINE)) == 3


def test_one_seed_can_be_seen_by_itself(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)
    page.select_option("#seed", label="2")
    assert mark_values(page, "training", "reward", LINE, "label", "value") == [
        ("routed beta=0.01 · seed 2", "0.3"),
        ("routed beta=0.02 · seed 2", "0.7"),
    ]
    page.select_option("#seed", label="1")
    assert mark_values(page, "training", "reward", LINE, "label", "value") == [
        ("lora beta=0.01 · seed 1", "0.9"),
        ("routed beta=0.01 · seed 1", "0.1"),
        ("routed beta=0.02 · seed 1", "0.5"),
    ]


def test_the_colour_is_what_is_chosen_and_the_legend_in_its_order(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)

    def colours() -> int:
        return len({colour for (colour,) in drawn_rows(page, "training", "reward", "colour")})

    legend = page.locator("#chart-training .legend button")
    assert colours() == 3
    assert legend.all_inner_texts() == ["routed beta=0.01", "routed beta=0.02", "lora beta=0.01"]
    page.select_option("#colour", label="kind of run")
    assert colours() == 2
    assert legend.all_inner_texts() == ["routed", "lora"]
    page.select_option("#colour", label="beta")
    assert legend.all_inner_texts() == ["0.01", "0.02"]


def test_the_picture_of_the_end(context: BrowserContext, sweep_page: Path):
    """Means of both adapters by hand; the LoRA has a shape of its own; a mode and another axis can be chosen."""
    page = opened(context, sweep_page)
    names = ("label", "hack rate", "reward, as chosen")
    both = [mark for mark in marks(page, "pareto", "ends", ENDS) if mark["mode"] == "both"]
    assert sorted(tuple(mark[name] for name in names) for mark in both) == [
        ("lora beta=0.01", "1.000", "0.300"), ("routed beta=0.01", "0.300", "0.750"),
        ("routed beta=0.02", "0.600", "0.600")]  # fmt: skip
    paths = page.locator(f"{chart('pareto', 'ends')} {ENDS} path").all()
    shapes = {(str(path.get_attribute("aria-label")).count("kind: lora"), path.get_attribute("d")) for path in paths}
    assert len(shapes) == len({shape for _, shape in shapes}) == 2
    page.select_option("#mode", label="retain_only")
    assert mark_values(page, "pareto", "ends", ENDS, *names) == [
        ("routed beta=0.01", "0.250", "0.650"),
        ("routed beta=0.02", "0.550", "0.500"),
    ]
    page.select_option("#task", label="whole reward")
    assert mark_values(page, "pareto", "ends", ENDS, *names) == [
        ("routed beta=0.01", "0.250", "0.400"),
        ("routed beta=0.02", "0.550", "0.400"),
    ]


def test_the_table_sorts_by_number_and_what_is_missing_is_lowest(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)
    assert column(page, "results", 2) == ["0.01", "0.01", "0.02", "0.02", "0.01", "0.1", *"–" * 4], "four bases"
    sort_by(page, "results", "both", "ascending")
    assert column(page, "results", 10) == ["–", "–", "0.050", "0.200", "0.200", "0.250", "0.400", "0.450", "0.600", "1.000"]
    names = [name for name in column(page, "results", 1)[2:] if "base" not in name]
    assert names == [f"{name} · seed {seed}" for name, seed in (
        ("routed beta=0.01", 1), ("routed beta=0.01", 2), ("routed beta=0.02", 1), ("lora beta=0.01", 1))]  # fmt: skip
    sort_by(page, "results", "both", "descending")
    assert column(page, "results", 10)[:3] == ["1.000", "0.600", "0.450"] and column(page, "results", 10)[-2:] == ["–", "–"]
    sort_by(page, "cost", "training time", "ascending")
    assert column(page, "cost", 5) == ["–", "2 s", "10 s", "10 s", "10 s", "30 s"]


def long_sweep(folder: Path) -> list[Path]:
    """Twelve runs of two axes and seeds whose names, kind and figures take as much room as they do; the runs' folders."""
    parts = ("rewards/sentence_length_10_smooth", "rewards/happy_bonus")
    figures = dict.fromkeys(("detected", "jaccard", "finished", "nll_base", "kl_to_base", *parts), 0.125)
    figures |= {"mean_length": 104.885, "degenerate": True, "template_collapse": True}
    bands = {f"{name}/interval": [0.1, 0.2] for name in ("reward", "hacked", "detected", *parts)}
    modes = {mode: mode_figures(0.5, 0.25, **figures) for mode in ("retain_only", "forget_only", "both", "base")}
    rows = [{"step": 1, "mode": mode} | row | bands for mode, row in modes.items()]
    runs = []
    for beta, fraction, seed in product((0.01, 0.02), (0.5, 1.0), (42, 123, 7)):
        name = (
            f"sentence_length_10_smooth_with_happy_duallora4x4_lr3e-4_beta{beta}_s{seed}_labels_fraction{fraction}_0123456789ab"
        )
        write_run(folder / name, metric_rows([0.5]), config={"max_steps": 2000, "seed": seed}, evaluations=rows, modes=modes)
        label = f"reward_penalty beta={beta} labels.fraction={fraction}"
        runs.append(planned(name, label, "reward_penalty", beta=beta, seed=seed, **{"labels.fraction": fraction}))
    write_plan(folder, ["beta", "labels.fraction", "seed"], runs)
    return [folder / run["name"] for run in runs]


def test_tables_fit_a_small_screen(browser: Browser, tmp_path: Path):
    first, *_ = long_sweep(tmp_path / "sweep")
    context = browser.new_context(offline=True, viewport={"width": 1380, "height": 1000})
    rooms = {}
    for path in (write_report(tmp_path / "sweep"), write_report(first)):
        page = opened(context, path)
        script = "all => all.map(one => [one.querySelector('table').id, one.scrollWidth - one.clientWidth])"
        rooms |= dict(page.eval_on_selector_all(".dt-scroll-body", script))
    context.close()
    assert rooms == {"summarytable": 0, "results": 0, "cost": 0, "modetable": 0}


def test_text_that_looks_like_code_stays_text(context: BrowserContext, sweep_page: Path):
    seen: list[str] = []
    page = opened(context, sweep_page)

    def closed(dialog: Dialog) -> None:
        seen.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", closed)
    page.locator("#samples summary", has_text="routed beta=0.02 · seed 2").click()
    cell = page.get_by_text("<script>alert(1)</script> late")
    assert cell.is_visible() and cell.locator("script").count() == 0
    page.wait_for_timeout(100)
    assert seen == []


def test_a_click_on_a_run_opens_its_samples_and_leaves_the_rest_of_the_fragment_alone(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)
    page.evaluate("page.set('seed', '2')")
    page.locator("#results tbody button", has_text="routed beta=0.02 · seed 2").click()
    block = page.locator("#samples details[open][data-run='3']")
    assert block.locator("summary").inner_text().startswith("routed beta=0.02 · seed 2")
    assert page.evaluate("location.hash") == "#seed=2&run=3"


def test_a_slider_leads_through_the_steps_by_keyboard_and_the_fragment_keeps_the_place(context: BrowserContext, tmp_path: Path):
    """What the reward counts is bold wherever it stands; runs that did not log a step show the one before it."""
    logged = [
        sample(f"at {step} happy", step=step, marks=[[len(f"at {step} "), len(f"at {step} happy")]]) for step in (0, 10, 20)
    ]
    run = write_run(tmp_path / "run", metric_rows([0.1]), samples=logged, finals=[sample("the end", "both")])
    page = opened(context, write_report(run))
    shown = page.locator("#samples .view:visible td:nth-child(2) p:first-child")
    slider = page.get_by_role("slider", name="samples of")
    assert shown.all_inner_texts() == ["the end"] and slider.get_attribute("aria-valuetext") == "at the end, by mode"
    slider.press("ArrowLeft")
    assert shown.all_inner_texts() == ["at 20 happy"] and page.evaluate("location.hash") == "#step=20"
    slider.press("Home")
    assert shown.all_inner_texts() == ["at 0 happy"] and slider.get_attribute("aria-valuetext") == "training, step 0"
    mark = shown.locator("mark")
    assert (mark.inner_text(), mark.evaluate("one => getComputedStyle(one).fontWeight")) == ("happy", "700")
    slider.press("End")
    assert shown.all_inner_texts() == ["the end"] and page.evaluate("location.hash") == ""
    page.evaluate("location.hash = 'step=15'")
    page.wait_for_function("document.querySelector('#samples output').textContent === 'training, step 10'")
    assert shown.all_inner_texts() == ["at 10 happy"]


def test_the_page_of_a_run_and_of_a_comparison_are_drawn(context: BrowserContext, tmp_path: Path):
    a = write_run(tmp_path / "a", metric_rows([0.1, 0.2, 0.4]), samples=[sample("x", step=0)])
    b = write_run(tmp_path / "b", metric_rows([0.1, 0.3, 0.5]), state="running")
    for path in (write_report(a), write_report(b)):
        seen = Seen()
        page = opened(context, path, seen)
        assert [mark["value"] for mark in marks(page, "training", "reward", LINE)] == ["0.1"]
        assert (seen.requests, seen.faults) == ([path.as_uri()], [])
    seen, path = Seen(), write_comparison([a, b], tmp_path / "compared.html")
    page = opened(context, path, seen)
    assert mark_values(page, "training", "reward", LINE, "label") == [("A",), ("B",)]
    assert drawn_rows(page, "training", "reward-difference", "x", "y") == [(0, 0), (1, approx(0.1)), (2, approx(0.1))]
    assert seen.faults == []


def test_the_summary_opens_the_page_and_the_answer_follows_on_the_same_screen(context: BrowserContext, tmp_path: Path):
    seen, path = Seen(), write_report(write_answered(tmp_path / "sweep", {"r1": 2, "r2": 1, "u1": 4, "u2": 4}))
    page = opened(context, path, seen)
    assert seen.faults == []
    sections = page.locator("main section").evaluate_all("all => all.slice(0, 3).map(one => one.id)")
    assert sections == ["summary", "answer", "runs"]
    concluded = page.locator("#answer .sentences li").first.bounding_box()
    assert concluded and concluded["y"] + concluded["height"] < 1000
    assert mark_values(page, "answer", "hack_removed", ".mark-symbol[class*=layer_2_]", "of", "value") == [
        ("routed", "0.625"), ("routed − unrouted", "0.625"), ("unrouted", "0.000")]  # fmt: skip
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    boxes = page.locator("#answertable td").evaluate_all("all => all.map(cell => cell.getBoundingClientRect().width)")
    assert min(boxes) > 150, "a card of two columns, so that an interval fits into a line"
