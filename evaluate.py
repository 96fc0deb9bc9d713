"""A finished run, afterwards: `uv run evaluate.py --model_path output/RUN/checkpoint-200`, or `evaluate.py export ...`."""

import sys
from collections.abc import Sequence

from configs.afterwards import EvaluateOptions, ExportOptions, check
from configs.cli import parse, run_main

DESCRIPTION = """Evaluate a checkpoint, its adapters on and off. Writes evaluation.json, its samples and evaluation.png there.

Example: uv run evaluate.py --model_path output/RUN/checkpoint-200 --eval_rewards happy_count,sentence_length_5

The model for other programs: uv run evaluate.py export --help"""
EXPORT_DESCRIPTION = """Write a checkpoint's model as a new folder that transformers (hf) or PEFT (peft) loads.

Example: uv run evaluate.py export --model_path output/RUN/checkpoint-200 --mode retain_only --out exported"""


def evaluate(words: Sequence[str]) -> None:
    options = parse(EvaluateOptions, words, DESCRIPTION, "evaluate.py")
    check(options)
    from runs.reevaluation import evaluate_checkpoint, say_modes  # after parsing, so that typing errors answer at once

    say_modes(options) if options.prompt is not None else evaluate_checkpoint(options)


def export(words: Sequence[str]) -> None:
    options = parse(ExportOptions, words, EXPORT_DESCRIPTION, "evaluate.py export")
    from runs.export import export_checkpoint

    export_checkpoint(options)


def main(words: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if words is None else words
    return run_main(lambda: export(given[1:]) if given[:1] == ["export"] else evaluate(given))


if __name__ == "__main__":
    sys.exit(main())
