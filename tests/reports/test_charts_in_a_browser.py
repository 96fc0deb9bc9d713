"""The charts in a real browser: how they follow the window, the mouse, the controls and the URL's fragment."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page
from pytest import approx

from reports import write_report
from tests.reports.pages import LINE, Seen, chart, drawn_rows, marks, opened
from tests.reports.report_runs import metric_rows, mode_figures, planned, write_plan, write_run

RULE = "[class*=layer_3_marks]"
TICKS = "[class*=role-axis-label] text"
COLUMNS = {1400: 3, 800: 2, 390: 1}  # of the window's width in pixels


@pytest.fixture(scope="module")
def flat_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of three configurations, two of them alike in all; every figure stays as it is, and the KL is 0 at first."""
    folder = tmp_path_factory.mktemp("flat") / "sweep"
    runs = []
    for i, name in enumerate(("one", "two", "three")):
        rows = [row | {"kl": 0.0 if row["step"] == 0 else 0.01} for row in metric_rows([0.5 + 0.25 * (i == 2)] * 4, hacked=0.25)]
        evaluations = [{"step": 0, "mode": "base"} | mode_figures(0.25, 0.0)]
        evaluations += [{"step": 4, "mode": mode} | mode_figures(0.5, 0.25 + 0.25 * (i == 2)) for mode in ("both", "base")]
        write_run(folder / name, rows, evaluations=evaluations)
        runs.append(planned(name, name, beta=i, seed=1))
    return write_report(write_plan(folder, ["beta", "seed"], runs))


def lefts(page: Page, selector: str) -> list[int]:
    return page.eval_on_selector_all(selector, "all => all.map(one => Math.round(one.getBoundingClientRect().left))")


@pytest.mark.parametrize("width", COLUMNS)
def test_charts_follow_the_width_and_nothing_is_off_the_screen(browser: Browser, sweep_page: Path, width: int):
    context = browser.new_context(offline=True, viewport={"width": width, "height": 900})
    page = opened(context, sweep_page)
    for section in ("training", "ablation"):
        assert len({*lefts(page, f"#chart-{section} figure")}) == COLUMNS[width], section
    assert page.evaluate("document.documentElement.scrollWidth") == width
    outside = """all => all.filter(one => {
      const [box, scrolls] = [one.getBoundingClientRect(), one.closest('.dt-scroll-body, .dt-scroll-head')];
      return !scrolls && box.width > 0 && (box.right > innerWidth || box.left < 0);
    }).map(one => one.outerHTML.slice(0, 80))"""
    assert page.eval_on_selector_all("main *:not(.vega-actions, .vega-actions *)", outside) == []
    rights = page.eval_on_selector_all("svg.marks", "all => all.map(one => one.getBoundingClientRect().right)")
    assert max(rights) == approx(width - 28, abs=1), "all of the width is used"
    context.close()


def test_the_figures_of_a_mode_stand_under_one_another(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)
    titles = page.locator("#chart-ablation figure h3").all_inner_texts()
    columns: dict[int, list[str]] = {}
    for left, title in zip(lefts(page, "#chart-ablation figure"), titles, strict=True):
        columns.setdefault(left, []).append(title)
    quantities = ("Reward", "Hack rate", "KL to the base")
    modes = ("both (or policy)", "retain_only", "forget_only")
    assert list(columns.values()) == [[f"{quantity}, {mode}" for quantity in quantities] for mode in modes]


def test_every_chart_and_its_menu_have_a_name(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)
    titles = page.locator("figure h3").all_inner_texts()
    names = page.locator(".chart summary").evaluate_all("all => all.map(one => one.ariaLabel)")
    assert names == [f"save the picture: {title}" for title in titles] and len(titles) == 13
    assert page.locator(".chart-wrapper").evaluate_all("all => all.map(one => one.ariaLabel)") == titles


def test_charts_follow_a_window_that_changes(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)
    page.set_viewport_size({"width": 800, "height": 900})
    page.wait_for_function("document.querySelector('#chart-training svg.marks').getBoundingClientRect().width < 370")
    assert len({*lefts(page, "#chart-training figure")}) == 2


def test_smoothing_is_a_debiased_moving_average_before_the_faint_raw_line(context: BrowserContext, sweep_page: Path):
    """Of 0.2, 0.3, 0.4, 0.5 by halves: sums 0.1, 0.2, 0.3, 0.4 of weights 0.5, 0.75, 0.875, 0.9375."""
    page = opened(context, sweep_page)
    assert {raw for (raw,) in drawn_rows(page, "training", "reward", "raw")} == {None}
    evaluations = drawn_rows(page, "ablation", "reward-both", "y")
    page.locator("#smoothing").fill("0.5")
    rows = drawn_rows(page, "training", "reward", "label", "raw", "y")
    assert [row[1:] for row in rows if row[0] == "routed beta=0.01"] == [
        (raw, approx(total / weight)) for raw, total, weight in
        ((0.2, 0.1, 0.5), (0.3, 0.2, 0.75), (0.4, 0.3, 0.875), (0.5, 0.4, 0.9375))]  # fmt: skip
    assert drawn_rows(page, "ablation", "reward-both", "y") == evaluations, "an evaluation is no noise to be smoothed"
    assert page.locator("#smoothing + output").inner_text() == "0.5"


def test_smoothing_leaves_gaps_as_they_are(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)
    assert page.evaluate("page.smoothed([1, null, 4], 0.5)") == [1, None, 3]


def with_runs(page: Page) -> Page:
    """Rows and samples say which run they belong to, where the page does not say it by itself."""
    page.evaluate("""() => {
      for (const selector of ['#results tbody tr', '#cost tbody tr', '#samples details'])
        if (!document.querySelector(`${selector}[data-run]`))
          document.querySelectorAll(selector).forEach((one, i) => (one.dataset.run = i));
      page.start();
    }""")
    return page


def middle(place: Locator, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
    box = place.bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def test_the_mouse_finds_the_nearest_point_and_marks_its_step_in_all_panels(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)
    picture = page.locator(f"{chart('training', 'reward')} svg.marks")
    picture.scroll_into_view_if_needed()
    page.mouse.move(*middle(picture, 0.98, 0.05))
    tip = page.locator(".tip")
    assert tip.locator("b").inner_text() == "lora beta=0.01"
    facts = dict(zip(tip.locator("dt").all_inner_texts(), tip.locator("dd").all_inner_texts(), strict=True))
    assert facts == {"step": "3", "mean reward": "0.9", "kind": "lora", "beta": "0.01"}
    page.wait_for_timeout(100)
    for panel, value in (("reward", 0.9), ("routing/hacked", 1.0), ("kl", 0.1)):
        assert drawn_rows(page, "training", panel, "x", "y", dataset="hovered") == [(3, value)]
        assert page.locator(f"{chart('training', panel)} {RULE} line").count() == 1
    page.mouse.move(5, 5)
    assert not tip.is_visible() and drawn_rows(page, "training", "kl", "x", dataset="hovered") == []


def test_points_at_one_place_are_all_told_of(context: BrowserContext, flat_page: Path):
    page = opened(context, flat_page)
    assert page.locator("#chart-training ul.note").inner_text().splitlines() == [
        "Reward in training: 2 configurations coincide: one, two.",
        "Hack rate in training: 3 configurations coincide: one, two, three.",
        "KL to the reference: 3 configurations coincide: one, two, three.",
    ]
    picture = page.locator(f"{chart('training', 'reward')} svg.marks")
    picture.scroll_into_view_if_needed()
    page.mouse.move(*middle(picture, 0.5, 0.95))
    assert page.locator(".tip dt").last.inner_text() == "also here" and page.locator(".tip dd").last.inner_text() == "two"


def test_every_axis_has_several_ticks_also_of_what_stays_the_same(context: BrowserContext, flat_page: Path):
    page = opened(context, flat_page)
    texts = (
        "[...axis.querySelectorAll('text')].filter(text => text.getAttribute('opacity') !== '0').map(text => text.textContent)"
    )
    counts = page.eval_on_selector_all(".chart [class*=role-axis-label]", f"all => all.map(axis => new Set({texts}).size)")
    assert len(counts) >= 10 and min(counts) >= 2, counts


ENDS = [
    ([0.16, 0.43], {}, [0.1438, 0.4462]),
    ([0.0, 1.0], {}, [0, 1]),
    ([0.02, 0.98], {}, [0, 1]),
    ([0.5, 0.5], {}, [0.45, 0.55]),
    ([1.0], {}, [0.9, 1]),
    ([0.0], {}, [0, 0.1]),
    ([80.0, 130.0], {}, [77, 133]),
    ([-0.5, 0.5], {}, [-0.56, 0.56]),
    ([-2.0, -1.0], {}, [-2.06, -0.94]),
    ([], {}, [0, 1]),
    ([0.5, 0.7], {"hasZero": True}, [0, 0.742]),
    ([0, 0.01, 1], {"isLog": True}, [0.01 / 10**0.1, 10**0.1]),
    ([0.5], {"isLog": True}, [0.25, 1]),
    ([1.5, 300.0], {"isTight": True}, [0, 300]),
    ([0], {"isTight": True}, [0, 1]),
]


def test_axes_fit_their_data_and_are_never_empty(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)
    for values, looks, ends in ENDS:
        made = page.evaluate("([values, looks]) => page.endsOf(values, looks)", [values, looks])
        assert made == approx(ends), (values, looks)


def test_an_axis_is_logarithmic_where_asked_and_says_what_has_no_place_on_it(context: BrowserContext, flat_page: Path):
    page, panel = opened(context, flat_page), chart("training", "kl")
    assert page.locator(f"{panel} {TICKS}", has_text="0.000").count() == 1
    page.locator("[data-log='training.kl']").click()
    page.wait_for_function(f"document.querySelector('{panel} svg.marks')")
    assert page.url.endswith("#log=training.kl")
    assert page.locator("figure:has([data-panel='kl']) small").inner_text() == "3 points at or below 0 have no place here"
    assert page.evaluate("page.sections[0].panels[2].view.scale('y').type") == "log"
    assert [row for row in drawn_rows(page, "training", "kl", "x", "y") if row[0] == 0] == [(0, None)] * 3


def test_at_step_0_every_mode_is_the_base(context: BrowserContext, flat_page: Path):
    page = opened(context, flat_page)
    assert drawn_rows(page, "ablation", "reward-both", "label", "x", "y")[:2] == [("one", 0, 0.25), ("one", 4, 0.5)]


def test_panels_of_one_quantity_have_one_axis(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)
    script = "page.sections[1].panels.filter(panel => panel.shared === 'reward').map(panel => panel.view.scale('y').domain())"
    first, *others = page.evaluate(script)
    assert len(others) == 2 and all(other == first for other in others)


def test_a_legend_hides_and_shows_by_the_keyboard_too(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)
    page.locator("#chart-training .legend button", has_text="lora").focus()
    page.keyboard.press("Enter")
    assert [mark["label"] for mark in marks(page, "training", "reward", LINE)] == ["routed beta=0.01", "routed beta=0.02"]
    assert page.evaluate("document.activeElement.getAttribute('aria-pressed')") == "false", "the focus stays"
    page.keyboard.press("Enter")
    assert len(marks(page, "training", "reward", LINE)) == 3


FRAGMENT = "#colour=kind&kind=routed&beta=0.01&smoothing=0.6&log=training.kl&mode=both&hide=forget_only"
STATE = "[...document.querySelectorAll('[data-state]')].map(one => [one.dataset.state, one.value])"


def test_a_view_can_be_sent(context: BrowserContext, sweep_page: Path):
    """What is chosen stands in the fragment, in words, and a page opened with it shows the same."""
    page = opened(context, sweep_page)
    page.select_option("#colour", label="kind of run")
    page.select_option("#filterkind", label="routed")
    page.select_option("#filter0", label="0.01")
    page.locator("#smoothing").fill("0.6")
    page.locator("[data-log='training.kl']").click()
    page.select_option("#mode", label="both (or policy)")
    page.evaluate("page.set('hide', 'forget_only')")
    assert page.evaluate("location.hash") == FRAGMENT
    other = opened(context, sweep_page, fragment=FRAGMENT)
    assert other.evaluate(STATE) == page.evaluate(STATE)
    for section, panel in (("training", "reward"), ("pareto", "ends")):
        names = ("label", "x", "y", "raw", "colour")
        assert drawn_rows(other, section, panel, *names) == drawn_rows(page, section, panel, *names)


def test_a_fragment_that_asks_for_what_there_is_not_changes_nothing(context: BrowserContext, sweep_page: Path):
    seen = Seen()
    page = opened(context, sweep_page, seen, "#kind=none&colour=x&smoothing=much&run=99&configuration=z&log=a.b&hide=c")
    assert len(marks(page, "training", "reward", LINE)) == 3 and not page.locator("#chosen").is_visible()
    assert seen.faults == []


def test_filters_leave_rows_of_tables_and_samples(context: BrowserContext, sweep_page: Path):
    page = with_runs(opened(context, sweep_page))
    assert page.locator("#count").inner_text() == "6 of 6 runs"
    page.select_option("#filter0", label="0.02")
    assert page.locator("#count").inner_text() == "2 of 6 runs"
    rows = page.locator("#results tbody tr td:first-child").all_inner_texts()
    assert [row for row in rows if "seed" in row and "base" not in row] == [
        "routed beta=0.02 · seed 1",
        "routed beta=0.02 · seed 2",
    ]
    page.select_option("#seed", label="2")
    assert page.locator("#samples details:visible summary").all_inner_texts() == ["routed beta=0.02 · seed 2 (routed, running)"]


def test_a_table_without_a_search_box_is_filtered_too(context: BrowserContext, flat_page: Path):
    page = with_runs(opened(context, flat_page))
    page.select_option("#filter0", label="1")
    rows = page.locator("#cost tbody tr td:first-child").all_inner_texts()
    assert [row.split()[0] for row in rows] == ["two"] and page.locator("#cost_wrapper .dt-search").count() == 0


def test_a_click_on_a_line_chooses_and_offers_its_runs_and_escape_ends_it(context: BrowserContext, sweep_page: Path):
    page = with_runs(opened(context, sweep_page))
    picture = page.locator(f"{chart('training', 'reward')} svg.marks")
    picture.scroll_into_view_if_needed()
    page.mouse.click(*middle(picture, 0.2, 0.82))
    assert page.evaluate("location.hash") == "#configuration=routed+beta%3D0.01"
    assert page.locator("#chosen").inner_text().split("\n") == ["routed beta=0.01", "seed 1", "seed 2", "choose none"]
    opacities = dict(drawn_rows(page, "training", "reward", "label", "opacity"))
    assert opacities == {"routed beta=0.01": 1, "routed beta=0.02": 0.18, "lora beta=0.01": 0.18}
    page.locator("#chosen button", has_text="seed 2").click()
    assert page.evaluate("location.hash") == "#run=1"
    assert page.locator("#samples details[open] summary").inner_text().startswith("routed beta=0.01 · seed 2")
    opacities = dict(drawn_rows(page, "training", "reward", "label", "opacity"))
    assert opacities["routed beta=0.01 · seed 2"] == 1 and opacities["routed beta=0.01"] == 0.42
    page.keyboard.press("Escape")
    assert page.evaluate("location.hash") == "" and len(marks(page, "training", "reward", LINE)) == 3


def test_a_click_on_a_row_opens_its_run(context: BrowserContext, sweep_page: Path):
    page = with_runs(opened(context, sweep_page))
    page.locator("#cost tbody tr").nth(2).locator("td").nth(2).click()
    assert page.evaluate("location.hash") == "#run=2"
    block = page.locator("#samples details[open]")
    assert block.locator("summary").inner_text().startswith("routed beta=0.02 · seed 1")
    box = block.bounding_box()
    assert box is not None and 0 <= box["y"] < 1000, "it is in view"
    again = with_runs(opened(context, sweep_page, fragment="#run=2"))
    assert again.locator("#samples details[open] summary").inner_text().startswith("routed beta=0.02 · seed 1")


def test_a_dark_scheme_follows_the_system_s(context: BrowserContext, sweep_page: Path):
    page = opened(context, sweep_page)
    looks = """() => [getComputedStyle(document.body).backgroundColor,
      document.querySelector('#chart-training [class*=role-axis-label] text').getAttribute('fill'),
      document.querySelector('#chart-training [class*=layer_2_marks] path').getAttribute('stroke')]"""
    light = page.evaluate(looks)
    assert light == ["rgb(255, 255, 255)", "#57606a", "#0072b2"]
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"({looks})()[1] === '#a2abb6'")
    assert page.evaluate(looks) == ["rgb(21, 24, 29)", "#a2abb6", "#4aa8e8"]
    assert page.evaluate("document.documentElement.classList.contains('dark')"), "for the tables' library"
