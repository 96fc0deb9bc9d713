"""Rules that end a run before its last step (`stop_rule`), by what its evaluations during training say."""

from collections.abc import Mapping, Sequence
from typing import Any

from configs.resolved import ResolvedExperiment
from routing.modes import MODES

IN_A_ROW = 2  # evaluations: one alone may be chance
FLAGS = ("degenerate", "template_collapse")


def stop_reason(config: ResolvedExperiment, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Why a run with these rows of routing_eval.jsonl stops now, in one line; None when it goes on.

    The policy as it is trained counts, before its evaluation at the end. A flag that could not be computed is not raised.
    """
    if config.stop_rule == "none":
        return None
    (mode, *_) = MODES[config.adapter_kind]
    last = [row for row in rows if row["mode"] == mode and row["step"] > 0][-IN_A_ROW:]
    raised = [[flag for flag in FLAGS if row[flag]] for row in last]
    if len(last) < IN_A_ROW or not all(raised):
        return None
    seen = ", ".join(f"{' and '.join(flags)} at step {row['step']}" for flags, row in zip(raised, last, strict=True))
    return f"--stop_rule {config.stop_rule} ended it at step {last[-1]['step']} of {config.max_steps}: {mode} was {seen}"
