"""One run: `uv run launch.py --reward happy_binary --routing.enabled`; `--resume` takes it up where it was interrupted."""

import sys
from collections.abc import Sequence

from configs.cli import LaunchOptions, parse_with_config, run_main

DESCRIPTION = """Train a very small language model with GRPO and, if wanted, gradient routing.

Example: uv run launch.py --reward happy_binary --routing.enabled --max_steps 300

Interrupted (Ctrl-C once, the machine gone): the same command with --resume, or uv run launch.py --resume output/RUN"""
STOPPED = 130  # the exit code of a program that SIGINT ended


def launch(words: Sequence[str]) -> int:
    options = parse_with_config(LaunchOptions, words, DESCRIPTION, "launch.py")
    from runs.preflight import PreflightFailure  # after parsing, so that --help and typing errors answer at once
    from runs.resume import run_to_resume
    from runs.trainer import resume, train

    try:
        if options.resume is None:
            train(options.experiment)
        else:
            resume(run_to_resume(options.resume, options.experiment), options.experiment)
    except PreflightFailure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(f"interrupted{f': {stop}' if str(stop) else ''}; --resume goes on from the last checkpoint", file=sys.stderr)
        return STOPPED
    return 0


def main(words: Sequence[str] | None = None) -> int:
    return run_main(lambda: launch(sys.argv[1:] if words is None else words))


if __name__ == "__main__":
    sys.exit(main())
