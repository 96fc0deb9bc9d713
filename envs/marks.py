"""Where in a completion the words stand that a reward or a predicate counts, so that pages can show them to a reader.

A function that is registered with `marks=` names another one, which gets a completion and all parameters by name and tells the
places. What is marked is for samples alone: nothing is scored or trained by it.
"""

import re
from collections.abc import Iterable, Sequence

from envs.types import BoundReward, Completion, ContractViolation, Marks, Span


def marks_of(pattern: str) -> Marks:
    """Every match of a regular expression, in any case."""
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda completion, **_: [match.span() for match in compiled.finditer(completion.text)]


def marked(reward: BoundReward, completions: Sequence[Completion]) -> list[list[Span]] | None:
    """Of each completion all places that the reward's functions mark, in order; of those that overlap, the first and longest.

    None for a reward that marks nothing. Raises ContractViolation for a function that raises and for places outside the text.
    """
    if not reward.marks:
        return None
    return [apart(span for marks in reward.marks for span in _checked(reward, marks, completion)) for completion in completions]


def apart(spans: Iterable[Span]) -> list[Span]:
    kept: list[Span] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


def _checked(reward: BoundReward, marks: Marks, completion: Completion) -> list[Span]:
    what, prompt = f"marks of reward {reward.name}", f"; prompt {completion.prompt.text!r}"
    try:
        spans = [(start, end) for start, end in marks(completion)]
        wrong = [span for span in spans if not 0 <= span[0] < span[1] <= len(completion.text)]
    except Exception as error:
        raise ContractViolation(f"{what} raised {type(error).__name__}: {' '.join(str(error).split())}{prompt}") from error
    if wrong:
        raise ContractViolation(f"{what} returned {wrong[0]}, not a place in a text of {len(completion.text)} characters{prompt}")
    return spans
