"""One run: `uv run launch.py --reward happy_count --routing.enabled`; `--resume` takes it up where it was interrupted."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import tyro

from configs.cli import ExperimentOptions, option_values, parse_with_config, run_main
from configs.errors import UserError
from configs.resolve import refuse_inert
from envs.prepare import refuse_idle_share
from records import files
from records.reader import is_run

DESCRIPTION = """Train a very small language model with GRPO and, if wanted, gradient routing.

Example: uv run launch.py --reward happy_count --routing.enabled --max_steps 300

Interrupted (Ctrl-C once, the machine gone): the same command with --resume, or uv run launch.py --resume output/RUN"""
STOPPED = 130  # the exit code of a program that SIGINT ended


def resume_from_words(words: list[str]) -> str:
    if len(words) > 1:
        raise ValueError(f"{' '.join(words)}: takes one run folder or none")
    return "".join(words)


ResumeSetting = Annotated[
    str | None,
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="[FOLDER]",
        instance_from_str=resume_from_words,
        is_instance=lambda value: value is None or isinstance(value, str),
        str_from_instance=lambda value: [str(value)],
    ),
]


@dataclass(frozen=True)
class LaunchOptions(ExperimentOptions):
    resume: ResumeSetting = None
    """Continue the run in this folder, or the one that these settings have, from its last checkpoint."""


def parse_options(words: Sequence[str]) -> LaunchOptions:
    """Raises UserError, for settings without effect too. Beneath the words lies the config.yaml of `--resume FOLDER`."""
    folder = next((Path(value) for value in option_values("--resume", words) if not value.startswith("--")), None)
    if folder and not is_run(folder):
        raise UserError(f"--resume {folder}: is not a run's folder: it has no {files.CONFIG}")
    options, named = parse_with_config(LaunchOptions, words, DESCRIPTION, "launch.py", record=folder and folder / files.CONFIG)
    refuse_inert(options.experiment, named)
    refuse_idle_share(options.experiment, named)
    return options


def launch(words: Sequence[str], began: float | None) -> int:
    """`began` is when a process was started for this, as `time.time` has it; None where it is another's."""
    options = parse_options(words)
    from runs.resume import run_to_resume  # after parsing, so that --help and typing errors answer at once
    from runs.trainer import resume, train

    try:
        if options.resume is None:
            train(options.experiment, began=began)
        else:
            resume(run_to_resume(options.resume, options.experiment), options.experiment)
    except KeyboardInterrupt as stop:
        print(f"interrupted{f': {stop}' if str(stop) else ''}; --resume goes on from the last checkpoint", file=sys.stderr)
        return STOPPED
    return 0


def main(words: Sequence[str] | None = None) -> int:
    began = psutil.Process().create_time() if words is None else None
    return run_main(lambda: launch(sys.argv[1:] if words is None else words, began))


if __name__ == "__main__":
    sys.exit(main())
