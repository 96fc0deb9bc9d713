"""A finished run, afterwards: `uv run evaluate.py --model_path output/RUN/checkpoint-200`, or `evaluate.py export ...`."""

import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from configs.cli import options_named, parse, run_main, split_at_commas
from configs.errors import UserError
from configs.resolve import require
from configs.setting_kinds import SplitName, default_is
from configs.settings import AboveZero, AtLeastOne, NotNegative, NotNegativeInt, settings
from records.checkpoints import chosen_checkpoint

DESCRIPTION = """Evaluate a checkpoint, its adapters on and off. Writes evaluation.json, its samples and evaluation.png there.

Example: uv run evaluate.py --model_path output/RUN --eval_rewards happy_count,sentence_length_5

The model for other programs: uv run evaluate.py export --help"""
HALF_WAY = "half way between the base's and the policy's at the run's end"
OTHER_PROMPTS = ("dataset", "text_column", "eval_split")  # than the run's, when they are named
AS_THE_RUN = ("temperature", "top_k", "top_p", "routing_eval", *OTHER_PROMPTS)  # what relearning leaves alone
INTERRUPTED = 130  # the exit code of a program that SIGINT ended
EXPORT_DESCRIPTION = """Write a checkpoint's model as a new folder that transformers (hf) or PEFT (peft) loads.

Example: uv run evaluate.py export --model_path output/RUN --mode retain_only --out exported"""


@settings()
class EvaluateOptions:
    model_path: Path
    """A run, whose last checkpoint is taken, or one of its checkpoints: output/RUN, output/RUN/checkpoint-STEP."""
    n_samples: AtLeastOne = 64
    """Completions in each mode, one for each evaluation prompt, then again from the first."""
    eval_rewards: str = ""
    """Further rewards of the same completions: NAME,NAME(PARAM=VALUE),..."""
    routing_eval: bool = True
    """All modes; without, the policy as it was trained and the base."""
    temperature: NotNegative | None = None
    """0 takes the likeliest token; by default as in training."""
    top_k: NotNegativeInt = 0
    """Sample from the k likeliest tokens; 0 is off."""
    top_p: AboveZero = 1.0
    """Sample from the fewest tokens that hold this probability; 1 is off."""
    show: NotNegativeInt = 3
    """Samples to print, modes side by side; at most n_samples."""
    relearn_steps: NotNegativeInt = 0
    """Then train on without the forget adapter, at most so many steps, until it hacks again, and so the base (0: do not)."""
    relearn_hack_rate: Annotated[AboveZero | None, default_is(HALF_WAY)] = None
    """The hack rate at which it hacks again."""
    prompt: str | None = None
    """Only print what each mode says to this; writes nothing."""
    dataset: str | None = None
    """Evaluate on the prompts of another dataset than the run's; which, stands in evaluation.json."""
    text_column: str | None = None
    """Another column of the dataset than in training."""
    eval_split: SplitName | None = None
    """Another split than the run's evaluations had."""
    base_model: str | None = None
    """Where the run's base model is now, if it has moved; its weights must be the same."""
    device: str = "auto"
    """auto (CUDA where there is one, else CPU), cpu, cuda, cuda:1."""


@settings()
class ExportOptions:
    model_path: Path
    """A run, whose last checkpoint is taken, or one of its checkpoints: output/RUN, output/RUN/checkpoint-STEP."""
    out: Path
    """The folder to write; it must not exist."""
    mode: Literal["both", "retain_only", "forget_only", "policy"] | None = None
    """Which adapters; by default as trained (both, or policy where there is no retain and forget)."""
    format: Literal["hf", "peft"] = "hf"
    """hf: one model, adapters merged. peft: base/ and one folder for each adapter."""
    base_model: str | None = None
    """Where the run's base model is now, if it has moved; its weights must be the same."""


def refuse_contradictions(options: EvaluateOptions, named: Collection[str]) -> None:
    """Raises UserError for options without effect among those named, whatever their values, and for a reward given twice."""
    inert = {name: "with --temperature 0" for name in ("top_k", "top_p") if options.temperature == 0}
    if not options.relearn_steps:
        inert["relearn_hack_rate"] = "without --relearn_steps"
    unprompted = ("n_samples", "eval_rewards", "show", "relearn_steps", "relearn_hack_rate", *OTHER_PROMPTS)
    inert |= {name: "with --prompt" for name in unprompted if options.prompt is not None}
    for name in sorted(inert.keys() & {*named}):
        raise UserError(f"--{name} {getattr(options, name)}: has no effect {inert[name]}")
    for name in sorted({*AS_THE_RUN} & {*named} if options.relearn_steps else ()):
        raise UserError(f"--{name} {getattr(options, name)}: not with --relearn_steps, for which all is as in the run")
    calls = split_at_commas(options.eval_rewards)
    once = all(calls) and len({*calls}) == len(calls)
    require(once, "eval_rewards", options.eval_rewards, "must name each reward once, with commas between them")


def checkpoint_of(model_path: Path) -> Path:
    """Says which where it was not named. Raises UserError."""
    try:
        checkpoint = chosen_checkpoint(model_path)
    except UserError as error:
        raise UserError(f"--model_path {model_path}: {error}") from error
    if checkpoint != model_path:
        print(f"{model_path}: its last checkpoint, {checkpoint.name}", file=sys.stderr)
    return checkpoint


def evaluate(words: Sequence[str]) -> None:
    options = parse(EvaluateOptions, words, DESCRIPTION, "evaluate.py")
    refuse_contradictions(options, options_named(words))
    options = replace(options, model_path=checkpoint_of(options.model_path))
    if options.prompt is None:
        evaluate_again(options)
    else:
        answer(options, options.prompt)


def evaluate_again(options: EvaluateOptions) -> None:
    from reports.evaluation_picture import write_evaluation_picture
    from runs import reevaluation  # after parsing, so that typing errors answer at once
    from runs.restore import load_run

    other = {name: value for name in OTHER_PROMPTS if (value := getattr(options, name)) is not None}
    run = load_run(options.model_path, options.device, True, options.base_model, **other)
    reevaluation.sample_differently(run, options.temperature, options.top_k, options.top_p)
    modes, calls = reevaluation.chosen_modes(run, options.routing_eval), split_at_commas(options.eval_rewards)
    steps, relearning = options.relearn_steps, None
    if steps:
        relearning = reevaluation.relearning_of(run, options.model_path, steps, options.relearn_hack_rate)
    reevaluation.evaluate_checkpoint(
        run, options.model_path, modes, options.n_samples, calls, options.show, write_evaluation_picture, relearning
    )


def answer(options: EvaluateOptions, prompt: str) -> None:
    from runs import reevaluation
    from runs.restore import load_learner

    learner = load_learner(options.model_path, options.device, True, options.base_model)
    reevaluation.sample_differently(learner, options.temperature, options.top_k, options.top_p)
    print("\n".join(reevaluation.replies(learner, reevaluation.chosen_modes(learner, options.routing_eval), prompt)))


def export(words: Sequence[str]) -> None:
    options = parse(ExportOptions, words, EXPORT_DESCRIPTION, "evaluate.py export")
    from runs.export import check_out_is_free, export_checkpoint

    check_out_is_free(options.out)
    export_checkpoint(checkpoint_of(options.model_path), options.mode, options.format, options.out, options.base_model)
    print(options.out)


def main(words: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if words is None else words
    try:
        return run_main(lambda: export(given[1:]) if given[:1] == ["export"] else evaluate(given))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
