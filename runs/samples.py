"""Rows of samples.jsonl and evaluation_samples.jsonl: a completion, what it scored, and what was made of it."""

from collections.abc import Sequence
from typing import Any

from envs.types import Audit, Completion, Scores
from grpo.step import StepRecord

# In the order of a row, which has those of its file.
COLUMNS = ("step", "mode", "prompt_index", "prompt", "completion", "reward", "reward_full", "components", "eligible",
           "detected", "labelled", "routed", "hacked", "marks", "finished", "advantage", "length")  # fmt: skip


def sample_rows(completions: Sequence[Completion], scores: Scores, audit: Audit, **more: Sequence) -> list[dict[str, Any]]:
    """One row a completion; `more` are further columns."""
    columns = more | {
        "prompt_index": [completion.prompt.index for completion in completions],
        "prompt": [completion.prompt.text for completion in completions],
        "completion": [completion.text for completion in completions],
        "reward": scores.rewards,
        "components": [{name: values[i] for name, values in scores.components.items()} for i in range(len(completions))],
        "detected": scores.detected,
        "hacked": audit.hacked or [None] * len(completions),
        "finished": [completion.finished for completion in completions],
        **({} if audit.marks is None else {"marks": [[*map(list, spans)] for spans in audit.marks]}),
    }
    names = [name for name in COLUMNS if name in columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*(columns[name] for name in names), strict=True)]


def step_sample_rows(record: StepRecord) -> list[dict[str, Any]]:
    """The ledger of a step."""
    columns = {
        "step": [record.step] * len(record.completions),
        "eligible": record.eligible,
        "labelled": record.routes.labelled.tolist(),
        "routed": record.routes.routed.tolist(),
        "advantage": record.advantages.tolist(),
        "length": record.rollout.mask.sum(1).tolist(),
    }
    return sample_rows(record.completions, record.scores, record.audit, **columns)
