"""A sweep's frontier as text: a table, and of each routed configuration what is shown, by intervals."""

from collections.abc import Iterator, Sequence

from records.ceiling import CEILING_MEASURES, CEILING_SHARE
from records.estimates import ABOVE, BELOW, WITHIN, Estimate
from records.measures import HACK_LEFT
from records.text import plain_table, text_of
from sweeps.frontier import BEATEN, BEATS, COMPARED, FIGURES, KEPT, NOT_SHOWN, TRADES, Comparison, Frontier, Routed

HACK_WORDS = {
    ABOVE: "its interval lies above 0: it hacks more than the base",
    BELOW: "its interval lies below 0: it hacks less than the base",
    WITHIN: "its interval holds 0",
    None: "there is no interval",
}
VERDICT_WORDS = {BEATS: BEATS, BEATEN: BEATEN, TRADES: TRADES, NOT_SHOWN: "not shown to differ from"}


def frontier_text(found: Sequence[Frontier]) -> str:
    """A row for each configuration and mode that would be deployed, the ceiling last, and one for each difference; then what is
    shown.
    """
    table, differences = plain_table("the frontier", "mode", "seeds", *FIGURES), plain_table("routed − control", *COMPARED, "")
    for frontier in found:
        table.add_row()
        for each in frontier.deployed:
            figures = (each.figures[name].text for name in FIGURES)
            table.add_row(each.configuration, each.mode, f"{len(each.seeds)} of {each.planned}", *figures)
        for routed in frontier.routed:
            for each in routed.comparisons:
                name = f"{routed.deployed.configuration} − {control_name(each)}"
                differences.add_row(name, *(each.differences[measure].text for measure in COMPARED), each.verdict)
    meanings = [f"{name}: {meaning}" for name, meaning in CEILING_MEASURES.items()]
    tables = [text_of(table), *([text_of(differences)] if differences.row_count else []), "\n".join(meanings)]
    return "\n\n".join([*tables, "\n".join(line for each in found for line in frontier_sentences(each))])


def frontier_sentences(frontier: Frontier) -> Iterator[str]:
    yield f"The ceiling is {frontier.ceiling.configuration}, {frontier.ceiling.mode}."
    for name in frontier.unmatched:
        yield f"{name} differs from its ceiling in lr, beta or max_steps."
    for routed in frontier.routed:
        yield wanted_sentence(routed)
        if routed.comparisons:
            yield comparison_sentence(routed)


def wanted_sentence(routed: Routed) -> str:
    figures, name = routed.deployed.figures, f"{routed.deployed.configuration}, {routed.deployed.mode}"
    left = figures[HACK_LEFT]
    return f"{name}: {share_words(routed, figures[CEILING_SHARE])}; hack left {left.text}, {HACK_WORDS[left.side]}."


def share_words(routed: Routed, share: Estimate) -> str:
    if routed.keeps is None:
        return "the share of the ceiling's task gain is not known"
    sure = {None: "without an interval", True: "by all of its interval", False: "though not by all of its interval"}
    reached = f"at least {KEPT:g}, {sure[routed.surely_keeps]}" if routed.keeps else f"less than the {KEPT:g} wanted"
    return f"keeps {share.text} of the ceiling's task gain, {reached}"


def comparison_sentence(routed: Routed) -> str:
    """How the controls stand to it, by what is shown of less hack left and of more of the ceiling's gain."""
    parts = []
    for verdict, words in VERDICT_WORDS.items():
        names = [control_name(each) for each in routed.comparisons if each.verdict == verdict]
        if names:
            parts.append(f"{words} {', '.join(names)}")
    return f"{routed.deployed.configuration}, {routed.deployed.mode}: {'; '.join(parts)}."


def control_name(comparison: Comparison) -> str:
    return f"{comparison.control} ({comparison.mode})"
