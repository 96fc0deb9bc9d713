"""Writes the model card of nursery, every figure in it measured: `uv run python -m bench.nursery_card`.

The card is README.md in the model's folder; `pretraining.json` must lie there too, as `models.nursery.making.pretrain` writes it.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import ngram
from configs.cli import parse, run_main
from configs.errors import UserError
from configs.experiment import Experiment
from envs.detectors import DETECTORS, bind_detector
from envs.rewards import bind, rewards_of
from envs.scoring import audit, score
from envs.types import Completion
from grpo.run import Run, build_run, prepare
from grpo.scoring import completions_of
from models.llama import LlamaConfig
from models.loading import NURSERY
from models.nursery import generator
from models.nursery.making import corpus, pretrain
from records.figures import cell, mean, share
from runs.diversity import diversity, words_of
from runs.evaluation import ROWS_AT_ONCE, evaluation_samples, sample_mode

ENVIRONMENT = "stories"
HELD_OUT_STORIES = 2_000
SHOWN = 20
EXAMPLES = {"contains_words": "contains_words(words=('sad',))"}  # detectors that have no default for a parameter
MOST_LOSS_DIFFERENCE = 1e-3  # nats a token, between the weights here and what pretraining.json says of them
Item = TypeVar("Item")


@dataclass(frozen=True)
class Options:
    model: str = NURSERY
    """nursery (embedded), or another folder with the same files."""
    samples: int = 1_000
    """Completions of which base rates are taken, one a test prompt."""
    train_stories: int = generator.TRAIN_STORIES
    """Stories of which the corpus figures are taken and on which the 5-gram model is fitted."""
    seed: int = 42
    """Of the samples: they are those of a run's evaluation before its first step."""


@dataclass(frozen=True)
class Losses:
    """Nats a token of the held-out stories, over every token but each story's first, EOS among them."""

    model: float
    ngram: float
    tokens: int
    fitted_tokens: int  # of the stories that the 5-gram model was fitted on


@dataclass(frozen=True)
class Rates:
    """What samples of the untrained policy get; hack rates are None where a reward has no predicate."""

    rewards: dict[str, tuple[float | None, float | None]]  # mean and hack rate
    detectors: dict[str, float | None]  # by call
    texts: dict[str, float | bool | None]


@dataclass(frozen=True)
class Facts:
    config: LlamaConfig
    parameters: int
    training: Mapping[str, Any]  # pretraining.json
    corpus: Mapping[str, Any]
    losses: Losses
    rates: Rates
    names: tuple[float, float]  # different first names a story: of the samples, of the held-out stories
    shown: list[tuple[str, str, bool]]  # prompt, what was written after it, whether it ended
    settings: Experiment


def read_training(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "pretraining.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"--model {folder}: pretraining.json cannot be read: {error}") from error


def gather(options: Options, folder: Path, progress: Progress) -> Facts:
    training = read_training(folder)
    run = build_run(prepare(Experiment(model=options.model, seed=options.seed, device="cpu", beta=0.0)))
    told = generator.stories("train", options.train_stories)
    train = list(progress.track(told, total=options.train_stories, description="train stories"))
    told = generator.stories("test", generator.TEST_STORIES)
    test = list(progress.track(told, total=generator.TEST_STORIES, description="test stories"))
    figures = stage(progress, "corpus figures", lambda: corpus.figures(train, test))
    losses = measure_losses(run, train, test[:HELD_OUT_STORIES], progress)
    check_loss(training, losses.model)
    completions = draw(run, options.samples, progress)
    written = [(each.prompt.text, written_after(run, each), each.finished) for each in completions]
    return Facts(
        config=run.policy.config,
        parameters=sum(parameter.numel() for parameter in run.policy.parameters()),
        training=training,
        corpus=figures,
        losses=losses,
        rates=measure_rates(completions),
        names=(names_a_story([prompt + rest for prompt, rest, _ in written]), names_a_story(test[:HELD_OUT_STORIES])),
        shown=written[:SHOWN],
        settings=run.config,
    )


def stage(progress: Progress, description: str, work):
    """What `work` returns; a bar that has no length stands there meanwhile."""
    task = progress.add_task(description, total=None)
    result = work()
    progress.update(task, total=1, completed=1)
    return result


def measure_losses(run: Run, train: list[str], test: list[str], progress: Progress) -> Losses:
    fitted = encode(run, progress.track(train, description="train tokens"))
    rows = encode(run, test)
    vocab_size = run.policy.config.vocab_size
    rival = stage(progress, "5-gram model", lambda: ngram.fit(fitted, vocab_size).loss(rows))
    model = stage(progress, "held-out loss", lambda: pretrain.held_out_loss(run.policy, rows))
    return Losses(model, rival, tokens=sum(len(row) - 1 for row in rows), fitted_tokens=sum(map(len, fitted)))


def encode(run: Run, texts: Iterable[str]) -> list[list[int]]:
    """Token ids with EOS, cut as in pretraining."""
    encoded = (run.tokenizer.encode_batch(part, add_special_tokens=True) for part in chunks(texts, 2_000))
    return [encoding.ids[: pretrain.LONGEST] for part in encoded for encoding in part]


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    remaining = iter(items)
    while chunk := list(islice(remaining, size)):
        yield chunk


def check_loss(training: Mapping[str, Any], measured: float) -> None:
    if abs(training["held_out_loss"] - measured) > MOST_LOSS_DIFFERENCE:
        raise UserError(
            f"the weights have a held-out loss of {measured:.4f}, pretraining.json says {training['held_out_loss']:.4f}:"
            " they are not of the same training"
        )


def draw(run: Run, count: int, progress: Progress) -> list[Completion]:
    prompts, generations = evaluation_samples(run, count)
    completions: list[Completion] = []
    for start in progress.track(range(0, count, ROWS_AT_ONCE), description="samples"):
        part = slice(start, start + ROWS_AT_ONCE)
        rollout = sample_mode(run, "policy", prompts[part], generations[part])
        completions += completions_of(run, prompts[part], rollout)
    return completions


def written_after(run: Run, completion: Completion) -> str:
    """The completion as it stands behind its prompt: with the space that belongs there, or without."""
    whole = run.tokenizer.decode([*completion.prompt.token_ids, *completion.token_ids], skip_special_tokens=False)
    assert whole.startswith(completion.prompt.text), (whole, completion.prompt.text)
    return whole.removeprefix(completion.prompt.text)


def names_a_story(texts: list[str]) -> float:
    """How many different girls and boys a text names, on average: a story of the corpus has two at the most."""
    lexicon = generator.load_lexicon()
    names = {name.lower() for name in (*lexicon["girl"], *lexicon["boy"])}
    return sum(len(names.intersection(words_of(text))) for text in texts) / len(texts)


def measure_rates(completions: list[Completion]) -> Rates:
    detectors = [name for name, entry in DETECTORS.items() if ENVIRONMENT in entry.environments]
    predicates = [bind_detector(EXAMPLES.get(name, name), ENVIRONMENT) for name in detectors]
    rewards = {}
    for name in rewards_of(ENVIRONMENT):
        reward = bind(name, ENVIRONMENT)
        hacked = audit(reward, completions).hacked
        rewards[name] = mean(score(reward, predicates[0], completions).rewards), None if hacked is None else share(hacked)
    texts = diversity([completion.text for completion in completions])
    return Rates(
        rewards=rewards,
        detectors={str(predicate): mean(predicate(completions)) for predicate in predicates},
        texts={
            "samples": len(completions),
            "ended": share([completion.finished for completion in completions]),
            "mean_length": mean([float(len(completion.token_ids) + completion.finished) for completion in completions]),
        }
        | texts,
    )


def render(facts: Facts) -> str:
    sections = (architecture, training_text, corpus_text, losses_text, rates_text, samples_text)
    parts = [HEADER, *(section(facts) for section in sections)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


HEADER = """
---
language: en
library_name: transformers
pipeline_tag: text-generation
license: mit
tags: [llama, wordpiece, stories, synthetic-text]
---

# nursery

A very small language model of short children's stories, for experiments in reinforcement learning that have to run at
once on any machine. It is the embedded default of this repository: `uv run launch.py --reward happy_binary`. This card is
written by `uv run python -m bench.nursery_card`; every number in it is measured by that command.

**What it is not.** It is not SimpleStories, and it has learnt nothing from SimpleStories' texts: it shares the architecture
and the tokenizer's conventions of `SimpleStories/SimpleStories-1.25M`, so that the same code and settings serve both. Its
corpus is synthetic, told by a generator of this repository's own writing (`models/nursery/generator.py`, plots in
`skeletons/`, words in `lexicon.txt`), and much narrower than text that people or large models write. It knows no facts,
follows no instructions and answers no questions. Findings about it are to be checked on a real model.

Licence: MIT, as the repository, for the weights, the tokenizer and the corpus alike.
"""


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, the first column left, the others right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def architecture(facts: Facts) -> str:
    c = facts.config
    rows = [
        ("parameters", f"{facts.parameters:,}"),
        ("vocabulary", f"{c.vocab_size:,}"),
        ("hidden size", c.hidden_size),
        ("MLP size", c.intermediate_size),
        ("layers", c.num_hidden_layers),
        ("attention heads", f"{c.num_attention_heads} of {c.head_dim}, with {c.num_key_value_heads} key-value heads"),
        ("context", c.max_position_embeddings),
        ("embeddings", "tied" if c.tie_word_embeddings else "untied"),
    ]
    return f"""
## Architecture

`LlamaForCausalLM` in float32: rotary positions, RMSNorm, SwiGLU.

{table(("", "value"), rows)}

The tokenizer is WordPiece, lower-cased, with punctuation and digits isolated; `[UNK]` is 0, `[EOS]` is {c.eos_token_id}; there
is no BOS and no PAD. EOS is appended with `add_special_tokens=True` only: never to a prompt.
"""


def training_text(facts: Facts) -> str:
    t = facts.training
    options = " ".join(f"--{name} {t[name]}" for name in ("epochs", "batch_size", "lr", "seed"))
    return f"""
## Training

    uv run python -m models.nursery.making.pretrain {options}

{t["steps"]:,} steps, {t["tokens"]:,} tokens seen; corpus seed {facts.corpus["seed"]}. Each row is one story with its EOS, from
position 0. AdamW (0.9, 0.95), weight decay 0.1, gradients clipped at 1, linear warm-up and decay.
"""


def corpus_text(facts: Facts) -> str:
    rows = [(name, figure(value)) for name, value in facts.corpus.items()]
    return f"""
## Corpus

As `uv run python -m models.nursery.making.corpus` prints it; tokens here are words and signs.

{table(("", "value"), rows)}
"""


def figure(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {figure(each)}" for key, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"


def losses_text(facts: Facts) -> str:
    losses = facts.losses
    rows = [("nursery", f"{losses.model:.4f}"), ("5-gram model", f"{losses.ngram:.4f}")]
    return f"""
## Held-out loss

On the first {HELD_OUT_STORIES:,} stories of the test split, in nats a token, over {losses.tokens:,} tokens:
all of a story but its first, EOS among them. The 5-gram model (`bench/ngram.py`: Kneser-Ney, interpolated)
was fitted on {losses.fitted_tokens:,} tokens, those of {facts.corpus["train stories"]:,} train stories.

{table(("", "nats a token"), rows)}
"""


def rates_text(facts: Facts) -> str:
    rates, s, (sample_names, story_names) = facts.rates, facts.settings, facts.names
    texts = [
        ("samples", figure(rates.texts["samples"])),
        (f"ended with EOS within {s.sampling.max_completion_length} tokens", cell(rates.texts["ended"])),
        ("mean length in tokens", cell(rates.texts["mean_length"])),
        ("unique", cell(rates.texts["unique"])),
        ("mean Jaccard of two samples' words", cell(rates.texts["jaccard"])),
        *((f"distinct {n}-grams of words", cell(rates.texts[f"distinct_{n}"])) for n in (1, 2, 3)),
        ("gzip ratio of all samples", cell(rates.texts["gzip_ratio"])),
    ]
    rewards = [(f"`{name}`", cell(reward), cell(hacked)) for name, (reward, hacked) in sorted(rates.rewards.items())]
    detectors = [(f"`{name}`", cell(rate)) for name, rate in sorted(rates.detectors.items())]
    return f"""
## Base rates

Of {rates.texts["samples"]:,} samples: temperature {s.sampling.temperature:g}, prompts of {s.env.prompt_length} tokens from the
test split, completions of up to {s.sampling.max_completion_length} tokens, seed {s.seed}. Rewards and detectors see the
completion alone.

{table(("", "value"), texts)}

What it has not learnt is to keep to a person: a sample names {sample_names:.2f} different girls and boys, a held-out story
{story_names:.2f}. Sentences are mostly sound, and so is the order of a plot.

Hack rates are by each reward's own predicate; "–" where it has none.

{table(("reward", "mean", "hack rate"), rewards)}

{table(("detector", "share detected"), detectors)}
"""


def samples_text(facts: Facts) -> str:
    shown = [f"{i}. **{prompt}**{rest}{'' if ended else ' …'}" for i, (prompt, rest, ended) in enumerate(facts.shown, start=1)]
    return f"""
## Samples

The first {len(shown)} of the samples above, none left out; the prompt is bold, "…" stands where the limit cut a sample.

{chr(10).join(shown)}
"""


def main(argv: Sequence[str] | None = None) -> int:
    def run() -> None:
        words = sys.argv[1:] if argv is None else argv
        options = parse(Options, words, "Writes the model card of nursery.", "bench.nursery_card")
        folder = generator.HERE if options.model == NURSERY else Path(options.model)
        columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, refresh_per_second=2) as progress:
            facts = gather(options, folder, progress)
        (folder / "README.md").write_text(render(facts))
        print(f"written: {folder / 'README.md'}")

    return run_main(run)


if __name__ == "__main__":
    sys.exit(main())
