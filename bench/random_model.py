"""A folder with random weights of a real model's shape, on which EOS never comes, for the other benchmarks to load:

uv run python -m bench.random_model /tmp/smollm2
uv run python -m bench.step --model /tmp/smollm2 --no-require_eos --routing.enabled --batch_size 16 --max_steps 12
"""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from bench.workloads import SMOLLM2, random_model, save_model, widened
from configs.cli import parse, run_main
from configs.errors import UserError
from configs.settings import AtLeastOne, settings
from models.loading import load_pretrained


@settings()
class RandomModelOptions:
    folder: Annotated[Path, tyro.conf.Positional]
    """The folder to write; it must not exist."""
    layers: AtLeastOne = 30
    """Of SmolLM2-135M's 30; the rest of its shape stays: 576 wide, 9 heads, 3 for keys and values, 49,152 tokens."""


def write_model(options: RandomModelOptions) -> None:
    if options.folder.exists():
        raise UserError(f"{options.folder}: exists")
    model = random_model(replace(SMOLLM2, num_hidden_layers=options.layers))
    save_model(model, widened(load_pretrained("nursery").tokenizer, SMOLLM2.vocab_size), options.folder)
    print(f"{options.folder}: {sum(parameter.numel() for parameter in model.parameters()):,} parameters")


def main(words: Sequence[str] | None = None) -> int:
    given = sys.argv[1:] if words is None else words
    return run_main(lambda: write_model(parse(RandomModelOptions, given, __doc__ or "", "bench.random_model")))


if __name__ == "__main__":
    sys.exit(main())
