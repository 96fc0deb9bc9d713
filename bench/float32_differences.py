"""How often a sample's tokens differ when it is drawn in batches of different sizes, in float32.

In float64 they never do (tests/grpo/test_sampler.py). In float32 a matrix product may round differently with
another number of rows; where a uniform falls between two such roundings, another token is chosen.

    uv run python -m bench.float32_differences --model nursery --samples 1000

prints one line. Samples are compared up to their first differing token: from there on they are different texts.
"""

import itertools
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from configs.cli import parse, run_main
from configs.errors import UserError
from configs.experiment import SamplingSettings
from grpo.randomness import sample_uniforms
from grpo.sampler import sample
from models.llama import Llama
from models.loading import load_pretrained, load_texts

REFERENCE = 32  # samples in a batch of the default training step
OTHERS = (8, 20, 64, 256)  # sizes compared with it; fewer than 8 samples are computed as 8 rows


@dataclass(frozen=True)
class Options:
    model: str = "nursery"
    """nursery (embedded), a local folder, or a Hugging Face id."""
    dataset: str = "nursery"
    """Where prompts come from: nursery (embedded), a local folder with a test* file, or a Hugging Face id."""
    text_column: str = "story"
    """The dataset's column that holds the text."""
    samples: int = 1_000
    """Samples drawn at each batch size, one a prompt."""
    prompt_length: int = 8
    """Tokens of a story that make a prompt."""
    max_completion_length: int = 128
    """Tokens after which a completion is cut."""
    temperature: float = 1.0
    """Divides the logits."""
    seed: int = 0
    """Of the samples."""
    device: str = "cpu"
    """cpu, cuda, cuda:1."""


@dataclass(frozen=True)
class Differences:
    samples: int  # compared, over all sizes
    differing: int  # of these, the ones with a differing token
    tokens: int  # compared: of each sample those up to its first differing token

    @property
    def rate(self) -> float:
        return self.differing / self.tokens


def story_prompts(options: Options, encode) -> list[list[int]]:
    """Beginnings of test stories, no two alike. Raises UserError when there are fewer than samples."""
    begun = (tuple(encode(text)[: options.prompt_length]) for text in load_texts(options.dataset, options.text_column)("test"))
    distinct = dict.fromkeys(ids for ids in itertools.islice(begun, 4 * options.samples) if len(ids) == options.prompt_length)
    if len(distinct) < options.samples:
        raise UserError(f"--samples {options.samples}: {options.dataset} gives {len(distinct)} different prompts")
    return [list(ids) for ids in distinct][: options.samples]


def draw(model: Llama, prompts: list[list[int]], size: int, options: Options) -> list[Tensor]:
    """Each prompt's completion up to and with EOS, drawn in batches of `size`."""
    settings = SamplingSettings(temperature=options.temperature, max_completion_length=options.max_completion_length)
    completions = []
    for start in range(0, len(prompts), size):
        batch = prompts[start : start + size]
        keys = range(start, start + len(batch))
        uniforms = sample_uniforms(options.seed, "evaluation sample", 0, keys, [0] * len(batch), settings.max_completion_length)
        rollout = sample(model, batch, 1, uniforms, settings)
        completions += [row[keep] for row, keep in zip(rollout.completion_ids.cpu(), rollout.mask.cpu(), strict=True)]
    return completions


def compare(pairs: list[tuple[Tensor, Tensor]]) -> Differences:
    differing = tokens = 0
    for one, other in pairs:
        common = min(len(one), len(other))
        unequal = (one[:common] != other[:common]).nonzero()
        differing += len(unequal) > 0
        tokens += int(unequal[0]) + 1 if len(unequal) else common
    return Differences(len(pairs), differing, tokens)


def measure(options: Options) -> Differences:
    pretrained = load_pretrained(options.model)
    model = pretrained.model.to(options.device).eval()
    prompts = story_prompts(options, lambda text: pretrained.tokenizer.encode(text, add_special_tokens=False).ids)
    reference = draw(model, prompts, REFERENCE, options)
    return compare([pair for size in OTHERS for pair in zip(reference, draw(model, prompts, size, options), strict=True)])


def main(argv: Sequence[str] | None = None) -> int:
    def run() -> None:
        words = sys.argv[1:] if argv is None else argv
        options = parse(Options, words, "Measures how often float32 tokens depend on the batch.", "bench.float32_differences")
        found = measure(options)
        sizes = f"batches of {REFERENCE} and of {', '.join(map(str, OTHERS))}"
        print(
            f"{options.model}, float32 on {options.device}, torch {torch.__version__}: {found.differing} of {found.tokens} "
            f"tokens ({found.rate:.1e}; {found.differing} of {found.samples} samples) differ between {sizes}"
        )

    return run_main(run)


if __name__ == "__main__":
    sys.exit(main())
