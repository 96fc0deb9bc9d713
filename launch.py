"""One run: `uv run launch.py --reward happy_binary --routing.enabled`."""

import sys
from collections.abc import Sequence

from configs.cli import LaunchOptions, parse_with_config, run_main

DESCRIPTION = """Train a very small language model with GRPO and, if wanted, gradient routing.

Example: uv run launch.py --reward happy_binary --routing.enabled --max_steps 300"""


def launch(words: Sequence[str]) -> None:
    options = parse_with_config(LaunchOptions, words, DESCRIPTION, "launch.py")
    from grpo.trainer import train  # after parsing, so that --help and typing errors answer at once

    train(options.experiment)


def main(words: Sequence[str] | None = None) -> int:
    return run_main(lambda: launch(sys.argv[1:] if words is None else words))


if __name__ == "__main__":
    sys.exit(main())
