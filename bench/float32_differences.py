"""How often a sample's tokens differ when it is drawn in batches of different sizes, in float32.

In float64 they never do (tests/grpo/test_sampler.py). In float32 a matrix product may round differently with
another number of rows; where a uniform falls between two such roundings, another token is chosen.

    uv run python -m bench.float32_differences --model nursery --samples 1000

prints one line. Samples are compared up to their first differing token: from there on they are different texts.
"""

import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from configs.cli import parse, run_main
from configs.errors import UserError
from configs.experiment import SamplingSettings
from grpo.randomness import SampleKeys
from grpo.sampler import sample
from models.decoder import LanguageModel
from models.loading import load_pretrained
from models.texts import load_texts

REFERENCE = 32  # samples in a batch of the default training step
OTHERS = (8, 20, 64, 256)  # sizes compared with it; fewer than 8 samples are computed as 8 rows


@dataclass(frozen=True)
class Options:
    model: str = "nursery"  # nursery (embedded), a local folder, or a Hugging Face id.
    dataset: str = "nursery"
    """Where prompts come from: nursery (embedded), a local folder with a test* file, or a Hugging Face id."""
    text_column: str = "story"  # The dataset's column that holds the text.
    samples: int = 1_000  # Samples drawn at each batch size, one a prompt.
    prompt_length: int = 8  # Tokens of a story that make a prompt.
    max_completion_length: int = 128  # Tokens after which a completion is cut.
    temperature: float = 1.0  # Divides the logits.
    seed: int = 0  # Of the samples.
    device: str = "cpu"  # cpu, cuda, cuda:1.


def story_prompts(options: Options, encode: Callable[[str], list[int]]) -> list[list[int]]:
    """Beginnings of test stories, no two alike. Raises UserError when there are fewer than samples."""
    texts = itertools.islice(load_texts(options.dataset, options.text_column)("test"), 4 * options.samples)
    starts = (tuple(encode(text)[: options.prompt_length]) for text in texts)
    distinct = dict.fromkeys(ids for ids in starts if len(ids) == options.prompt_length)
    if len(distinct) < options.samples:
        raise UserError(f"--samples {options.samples}: {options.dataset} gives {len(distinct)} different prompts")
    return [list(ids) for ids in distinct][: options.samples]


def draw_completions(model: LanguageModel, prompts: list[list[int]], size: int, options: Options) -> list[Tensor]:
    """Each prompt's completion up to and with EOS, drawn in batches of `size`."""
    settings = SamplingSettings(temperature=options.temperature, max_completion_length=options.max_completion_length)
    completions = []
    for start in range(0, len(prompts), size):
        batch = prompts[start : start + size]
        keys = SampleKeys(options.seed, 0, range(start, start + len(batch)), [0] * len(batch))
        uniforms = keys.uniforms("evaluation sample", settings.max_completion_length)
        rollout = sample(model, batch, 1, uniforms, settings)
        completions += [row[keep] for row, keep in zip(rollout.completion_ids.cpu(), rollout.mask.cpu(), strict=True)]
    return completions


def print_differences(words: Sequence[str]) -> None:
    options = parse(Options, words, "Measures how often float32 tokens depend on the batch.", "bench.float32_differences")
    pretrained = load_pretrained(options.model)
    model = pretrained.model.to(options.device).eval()
    prompts = story_prompts(options, lambda text: pretrained.tokenizer.encode(text, add_special_tokens=False).ids)
    reference = draw_completions(model, prompts, REFERENCE, options)
    pairs = [pair for size in OTHERS for pair in zip(reference, draw_completions(model, prompts, size, options), strict=True)]
    lengths = [min(map(len, pair)) for pair in pairs]
    unequal = [(one[:n] != other[:n]).nonzero().flatten().tolist() for (one, other), n in zip(pairs, lengths, strict=True)]
    differing = sum(map(bool, unequal))
    tokens = sum(places[0] + 1 if places else n for places, n in zip(unequal, lengths, strict=True))
    print(
        f"{options.model}, float32 on {options.device}, torch {torch.__version__}: {differing} of {tokens} tokens "
        f"({differing / tokens:.1e}; {differing} of {len(pairs)} samples) differ between batches of {REFERENCE} and of "
        + ", ".join(map(str, OTHERS))
    )


def main() -> int:
    return run_main(lambda: print_differences(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
