"""One run: `uv run launch.py --reward happy_count --routing.enabled`; `--resume` takes it up where it was interrupted."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import psutil
import tyro

from configs.cli import ExperimentOptions, option_values, options_named, parse_with_config, run_main
from configs.errors import UserError
from configs.naming import to_dict
from configs.resolve import refuse_inert
from envs.prepare import check_names, refuse_idle_share
from records import files
from records.folder import yaml_text
from records.reader import is_run
from records.signals import Interrupted
from runs.listing import LISTS, help_sections, listing

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


if TYPE_CHECKING:
    Listed = str
else:
    Listed = Literal[*LISTS]


@dataclass(frozen=True)
class LaunchOptions(ExperimentOptions):
    resume: ResumeSetting = None
    """Continue the run in this folder, or the one that these settings have, from its last checkpoint."""
    print_config: bool = False
    """Print the settings as the run's config.yaml would hold them, which --config reads, and stop."""
    list: Listed | None = None
    """Print what there is of these, a line each, those of --plugin too, and stop."""


def parse_options(words: Sequence[str]) -> LaunchOptions:
    """Raises UserError, for settings without effect too. Beneath the words lies the config.yaml of `--resume FOLDER`."""
    folder = next((Path(value) for value in option_values("--resume", words) if not value.startswith("--")), None)
    if folder and not is_run(folder):
        raise UserError(f"--resume {folder}: is not a run's folder: it has no {files.CONFIG}")
    beneath = folder and folder / files.CONFIG
    options, named = parse_with_config(LaunchOptions, words, DESCRIPTION, "launch.py", record=beneath, sections=help_sections)
    if options.list is None:
        refuse_inert(options.experiment, named)
        refuse_idle_share(options.experiment, named)
    elif others := sorted({*named, *options_named(words)} - {"list", "plugin", "plugins", "config"}):
        raise UserError(f"--{others[0]}: has no effect with --list {options.list}")
    if options.print_config and options.resume is not None:
        raise UserError(f"--print_config: has no effect with --resume; a run's settings stand in its {files.CONFIG}")
    return options


def launch(words: Sequence[str], began: float | None) -> int:
    """`began` is when a process was started for this, as `time.time` has it; None where it is another's."""
    options = parse_options(words)
    if options.list is not None:
        print(listing(options.list, options.experiment.plugins))
        return 0
    check_names(options.experiment)  # before PyTorch is loaded, as most of what can be wrong is by now
    if options.print_config:
        from grpo.run import prepare  # which knows whether there is a GPU

        print(yaml_text(to_dict(prepare(options.experiment))), end="")
        return 0
    from runs.resume import run_to_resume  # after parsing, so that --help and typing errors answer at once
    from runs.trainer import resume, train

    try:
        if options.resume is None:
            train(options.experiment, command=["launch.py", *words], began=began)
        else:
            resume(run_to_resume(options.resume, options.experiment), options.experiment)
    except KeyboardInterrupt as stop:
        print(f"interrupted{f': {stop}' if str(stop) else ''}; {how_to_go_on(stop)}", file=sys.stderr)
        return STOPPED
    return 0


def how_to_go_on(stop: KeyboardInterrupt) -> str:
    if not isinstance(stop, Interrupted):
        return "nothing has been kept: it had not begun"
    command = f"uv run launch.py --resume {shlex.quote(str(stop.folder))}"
    if any(stop.folder.glob(f"{files.CHECKPOINT}*[0-9]")):
        return f"to go on from the last checkpoint: {command}"
    return f"there is no checkpoint yet, so this starts it again: {command}"


def main(words: Sequence[str] | None = None) -> int:
    began = psutil.Process().create_time() if words is None else None
    return run_main(lambda: launch(sys.argv[1:] if words is None else words, began))


if __name__ == "__main__":
    sys.exit(main())
