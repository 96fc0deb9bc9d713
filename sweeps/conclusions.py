"""What may be concluded from a sweep's answer, and what not: by intervals, never by the sign of a value."""

from collections.abc import Iterator, Mapping, Sequence

from records.estimates import ABOVE, BELOW, WITHIN, Estimate
from records.measures import CONTAINED, FIGURES, GAIN_KEPT, HACK_LEFT, HACK_REMOVED, HACKED, TASK
from sweeps.answer import Answer, Arm, Difference, difference_name

# What an interval above 0 says, one below, and what one that holds 0 does not show.
CLAIMS = {
    HACK_REMOVED: {
        ABOVE: "cutting forget out takes away some of the hacking learnt",
        BELOW: "cutting forget out adds to the hacking learnt",
        WITHIN: "that cutting forget out takes away any of the hacking learnt",
    },
    HACK_LEFT: {
        ABOVE: "retain alone hacks more than the base",
        BELOW: "retain alone hacks less than the base",
        WITHIN: "a difference in hacking between retain alone and the base",
    },
    GAIN_KEPT: {
        ABOVE: "retain alone keeps some of the task gain",
        BELOW: "retain alone is worse at the task than the base",
        WITHIN: "that retain alone keeps any of the task gain",
    },
    CONTAINED: {
        ABOVE: "forget alone hacks more than retain alone",
        BELOW: "forget alone hacks less than retain alone",
        WITHIN: "a difference in hacking between forget alone and retain alone",
    },
}
SIDES = (ABOVE, BELOW, WITHIN, None)  # None has no interval
NOT_DEFINED = {HACKED: "hack removed", TASK: "gain kept"}  # of what is not learnt


def conclusions(answered: Sequence[Answer]) -> list[str]:
    """Sentences, of each routed configuration in turn; where there are several, each says which."""
    whose = {id(answer): f"{answer.routed.configuration}: " if answered[1:] else "" for answer in answered}
    return [whose[id(answer)] + sentence for answer in answered for sentence in sentences(answer)]


def sentences(answer: Answer) -> Iterator[str]:
    routed = answer.routed
    if not routed.seeds:
        yield f"none of {routed.planned} seeds has finished, so nothing may be concluded."
        return
    gains = ", ".join(f"{FIGURES[figure]} {gain.text}" for figure, gain in routed.learnt.items())
    yield f"{routed.configuration}, {_counted(routed.seeds)} of {routed.planned}, has learnt (both − base): {gains}."
    if len(routed.seeds) == 1:
        yield "Its intervals are over the samples of one run, so nothing may be concluded about other seeds."
    for arm in (routed, *answer.controls):
        yield from _reservations(arm)
    yield _claims(routed)
    yield from map(_compared, answer.differences)


def _reservations(arm: Arm) -> Iterator[str]:
    """Why the arm's figures may not mean what they seem to."""
    if arm.stopped:
        where = ", ".join(f"seed {seed} at step {step}" for seed, step in arm.stopped.items())
        yield f"{arm.configuration}: {len(arm.stopped)} of {_counted(arm.seeds)} stopped early by the stop rule ({where}); " \
            "figures are those of that step."  # fmt: skip
    for text in arm.warnings:
        yield f"{arm.configuration}: {text.rstrip('.')}."
    for figure, seeds in arm.not_learnt.items():
        if seeds and arm.learnt[figure].n:
            of_all = "" if len(seeds) == len(arm.seeds) else f" in {_named(seeds)}"
            yield f"{arm.configuration} has not raised the {FIGURES[figure]}{of_all}: both − base is not above the noise of " \
                f"the samples, so {NOT_DEFINED[figure]} is not defined."  # fmt: skip
        elif seeds:
            yield f"{arm.configuration}: the {FIGURES[figure]} is not known."
    modes = [f"{mode} in {_named(seeds)}" for mode, seeds in arm.collapsed.items()]
    if modes:
        yield f"{arm.configuration} has collapsed into templates: {', '.join(modes)}; figures of collapsed text say little."


def _claims(arm: Arm) -> str:
    """What is shown of the arm by itself, and what is not."""
    sides = {side: [name for name, m in arm.measures.items() if m.value is not None and m.side == side] for side in SIDES}
    shown = [f"{CLAIMS[name][side]} ({arm.measures[name].text})" for side in (ABOVE, BELOW) for name in sides[side]]
    within = [f"{CLAIMS[name][WITHIN]} ({arm.measures[name].text}, holds 0)" for name in sides[WITHIN]]
    alone = " of this run alone" if len(arm.seeds) == 1 else ""
    parts = [f"Of {arm.configuration} may be concluded{alone}: {'; '.join(shown) or 'nothing'}"]
    parts += [f"Not shown: {'; '.join(within)}"] if within else []
    parts += [f"Equal in all, so without an interval: {_listed(arm.measures, sides[None])}"] if sides[None] else []
    return ". ".join(parts) + "."


def _compared(difference: Difference) -> str:
    """What is shown to differ between two arms, and what is not."""
    sides = {side: [name for name, m in difference.measures.items() if m.value is not None and m.side == side] for side in SIDES}
    titles = {ABOVE: "more", BELOW: "less", WITHIN: "no difference shown in", None: "equal in all, so without an interval:"}
    parts = [f"{titles[side]} {_listed(difference.measures, names)}" for side, names in sides.items() if names]
    about = f" ({difference.of_what})" if difference.of_what else ""
    alone = ", over the samples of one seed" if len(difference.seeds) == 1 else ""
    return f"{difference_name(difference)}{about}{alone}: {'; '.join(parts) or 'nothing to compare'}."


def _listed(measures: Mapping[str, Estimate], names: Sequence[str]) -> str:
    return ", ".join(f"{_words(name)} {measures[name].text}" for name in names)


def _words(measure: str) -> str:
    return measure.replace("_", " ")


def _counted(seeds: Sequence[int]) -> str:
    return f"{len(seeds)} seed{'s' if seeds[1:] else ''}"


def _named(seeds: Sequence[int]) -> str:
    return f"seed{'s' if seeds[1:] else ''} {', '.join(map(str, seeds))}"
