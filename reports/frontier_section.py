"""The section of routing beside all that a user would do instead: hack left against the share of the ceiling's task gain."""

from collections.abc import Iterator, Sequence

import altair as alt

from records.ceiling import CEILING_MEASURES, CEILING_SHARE, HACK_OVER_CEILING
from records.measures import HACK_LEFT
from records.names import BASE, UNHACKABLE, as_trained
from records.reader import Row, SweepFiles, by_configuration
from reports.charts import Chart, Charts, Legend, axis, mode_entries, panel_spec
from reports.numbers import seeds_of
from reports.pareto import CAPTIONS
from reports.scatter import means, points, unbeaten
from reports.sections import Section
from reports.sweep_charts import configuration_facts
from reports.tables import Cell, Table, interval_cell, setting_text, text_cell
from sweeps.frontier import COMPARED, FIGURES, KEPT, KL_TO_BASE, TASK_REWARD, Comparison, Deployed, Frontier, frontiers
from sweeps.frontier_text import frontier_sentences

TITLE = "The frontier: routing beside all that would be done instead"
PAIRS_TITLE = "The frontier: each routed configuration minus each control"
MEANINGS = "; ".join(f"{name.replace('_', ' ')}: {meaning}" for name, meaning in CEILING_MEASURES.items())
NOTE = f"""Each configuration in the mode in which it would be deployed: routed ones with retain alone, others as they were \
trained, and those with two adapters also with forget cut. The ceiling is the run whose bonus is paid to no sample, so that \
there is no hack to learn. {MEANINGS}. In small print 95 % intervals over seeds. Up and to the left is better: a large mark is \
a configuration's mean, small ones are its seeds, the dashed line joins means that none beats in both, the ceiling left out."""
PAIRS_NOTE = """Differences paired by seed, with 95 % intervals over seeds. A routed configuration beats a control where less \
hack left or more of the ceiling's gain is shown, and neither more hack nor less gain; it is beaten where it is the other way \
round, and trades where one is shown in its favour and the other against it."""
WORDS = {
    HACK_LEFT: "hack left",
    HACK_OVER_CEILING: "hack over ceiling",
    CEILING_SHARE: "share of the ceiling's gain",
    TASK_REWARD: "task reward",
    KL_TO_BASE: "KL to base, nats a token",
}
COLUMNS = {HACK_LEFT: "x", HACK_OVER_CEILING: "over", CEILING_SHARE: "y", TASK_REWARD: "task", KL_TO_BASE: "kl"}  # of the chart
X, Y = axis("x", "x", "hack left", tickCount=8), axis("y", "y", "share of the ceiling's task gain")


def frontier_section(sweep: SweepFiles) -> list[Section]:
    """None without a ceiling."""
    found, configurations = frontiers(sweep), [*by_configuration(sweep.runs)]
    if not found:
        return []
    sentences = [sentence for frontier in found for sentence in frontier_sentences(frontier)]
    charts = frontier_charts(found, sweep)
    missing = "" if charts else "no picture: of no configuration is the share of the ceiling's task gain known"
    table = frontier_table(found, configurations)
    sections = [Section("frontier", TITLE, NOTE, charts, table, sentences=sentences, missing=missing)]
    pairs = pair_table(found, configurations)
    if pairs.rows:
        title = f"{len(pairs.rows)} differences"
        sections.append(Section("frontierpairs", PAIRS_TITLE, PAIRS_NOTE, table=pairs, folded=title))
    return sections


# Tables


def frontier_table(found: Sequence[Frontier], configurations: Sequence[str]) -> Table:
    """A row for each configuration and mode; the ceilings last."""
    each = [(frontier, deployed) for frontier in found for deployed in frontier.deployed]
    rows = [
        [
            text_cell(deployed.configuration, more=_part(frontier, deployed, len(found) > 1)),
            text_cell(deployed.mode),
            Cell(f"{len(deployed.seeds)} of {deployed.planned}"),
            *(interval_cell(deployed.figures[name].value, deployed.figures[name].interval) for name in FIGURES),
        ]
        for frontier, deployed in each
    ]
    belongs = [configurations.index(deployed.configuration) for _, deployed in each]
    return Table(
        "frontiertable", ["configuration", "mode", "seeds", *(WORDS[name] for name in FIGURES)], rows, configurations=belongs
    )


def _part(frontier: Frontier, deployed: Deployed, is_one_of_several: bool) -> str:
    """What it is in the comparison; where there are several ceilings, of which."""
    if deployed is frontier.ceiling:
        return "ceiling"
    part = "control" if deployed in frontier.controls else "routed"
    return f"{part}, against {frontier.ceiling.configuration}" if is_one_of_several else part


def pair_table(found: Sequence[Frontier], configurations: Sequence[str]) -> Table:
    pairs = [(routed.deployed, each) for frontier in found for routed in frontier.routed for each in routed.comparisons]
    header = ["routed", "control", "mode", "seeds", *(f"{WORDS[name]}, difference" for name in COMPARED), "verdict"]
    belongs = [configurations.index(routed.configuration) for routed, _ in pairs]
    return Table("frontierpairstable", header, [_pair_row(*pair) for pair in pairs], configurations=belongs)


def _pair_row(routed: Deployed, pair: Comparison) -> list[Cell]:
    differences = (interval_cell(pair.differences[name].value, pair.differences[name].interval) for name in COMPARED)
    names = (text_cell(text) for text in (routed.configuration, pair.control, pair.mode))
    return [*names, Cell(str(len(pair.seeds)), float(len(pair.seeds))), *differences, text_cell(pair.verdict)]


# The picture


def frontier_charts(found: Sequence[Frontier], sweep: SweepFiles) -> Charts | None:
    """A panel for each ceiling of which a share is known; None where there is no such."""
    known = [each for each in found if any(one.figures[CEILING_SHARE].value is not None for one in each.deployed)]
    if not known:
        return None
    rows = [row for frontier in known for row in frontier_rows(frontier, sweep)]
    panels = [_panel(f"ceiling{i}", each.ceiling.configuration, len(known) > 1) for i, each in enumerate(known)]
    legends = [Legend("m", "mode", mode_entries([row["m"] for row in rows], CAPTIONS), ["shape"])]
    facts = {"m": "mode"} | configuration_facts(sweep) | {"n": "seeds"}
    return Charts(panels, rows, legends, facts, has_seeds=True, layout="" if len(panels) > 1 else "single")


def frontier_rows(frontier: Frontier, sweep: SweepFiles) -> Iterator[Row]:
    """The base, then of each configuration (c) and mode (m) the means of `n` seeds, and again of each seed (s)."""
    configurations, seeds = [*by_configuration(sweep.runs)], [*map(setting_text, seeds_of(sweep.runs))]
    same = {"ceiling": frontier.ceiling.configuration}
    yield same | {"label": BASE, "m": BASE, "x": 0.0, "y": 0.0}
    for deployed in frontier.deployed:
        own = same | {"c": configurations.index(deployed.configuration), "m": as_trained(deployed.mode)}
        values = {column: deployed.figures[name].value for name, column in COLUMNS.items()}
        yield own | values | {"n": len(deployed.seeds)}
        for i, seed in enumerate(deployed.seeds):
            figures = {column: deployed.by_seed[name][i] for name, column in COLUMNS.items()}
            yield own | figures | {"s": seeds.index(setting_text(seed))}


def _panel(name: str, ceiling: str, is_one_of_several: bool) -> Chart:
    title = f"Measured against {ceiling}" if is_one_of_several else "Share of the ceiling's task gain against hack left"
    figures = {COLUMNS[measure]: WORDS[measure] for measure in (CEILING_SHARE, *WORDS)}
    line = unbeaten(means().transform_filter(f"datum.kind !== '{UNHACKABLE}'"), X, Y)
    marks = points(X, Y, {column: figures[column] for column in ("y", "x")})
    spec = panel_spec([*_rules(), line, *marks], title, 420)
    spec["datasets"] = {
        "base": [{"x": 0}],
        "wanted": [{"y": 1, "text": "the ceiling's gain"}, {"y": KEPT, "text": f"{100 * KEPT:.0f} % of it"}],
    }
    fields = {column: column for column in COLUMNS.values()}
    where, fitted = {"ceiling": ceiling}, {"x": ["x"], "y": ["y"]}
    return Chart(name, title, spec, fields, where=where, fitted=fitted, says=figures, log="", crosshair=False)


def _rules() -> list[alt.Chart]:
    """Where nothing of the hack is left, and where all and as much as is wanted of the ceiling's gain is kept."""
    base, wanted = (alt.Chart(alt.NamedData(name=name)) for name in ("base", "wanted"))
    looks = {"color": "#888888", "strokeDash": [2, 3], "aria": False}
    text = wanted.mark_text(align="right", baseline="bottom", dx=-2, dy=-3, fontSize=11, aria=False)
    return [
        base.mark_rule(**looks).encode(x=X),
        wanted.mark_rule(**looks).encode(y=Y),
        text.encode(x=alt.value("width"), y=Y, text="text:N"),
    ]
