"""Writes the model card of nursery, every figure in it measured: `uv run python -m bench.nursery_card`.

The card is README.md in the model's folder; `pretraining.json` must lie there too, as `models.nursery.making.pretrain` writes it.
Its text is nursery_card.md.j2.
"""

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jinja2
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from bench import ngram
from configs.cli import parse, run_main
from configs.errors import UserError
from configs.experiment import Experiment
from configs.resolved import ResolvedExperiment
from envs import ENVIRONMENTS
from envs.binding import bind_detector, bind_reward
from envs.registry import detectors_of, rewards_of
from envs.scoring import audit, score
from envs.types import Completion
from grpo.run import Run, build_run, prepare
from models.decoder_config import DecoderConfig
from models.hub import NURSERY
from models.nursery import generator
from models.nursery.making import corpus, pretrain
from records.figures import cell, mean, share
from runs.diversity import words_of
from runs.evaluation import evaluate_modes

ENVIRONMENT = "stories"
HELD_OUT_STORIES = 2_000
EXAMPLES = 20
DETECTOR_EXAMPLES = {"contains_words": "contains_words(words=('sad',))"}  # of those that have no default for a parameter
MOST_LOSS_DIFFERENCE = 1e-3  # nats a token, between the weights here and what pretraining.json says of them
Result = TypeVar("Result")


@dataclass(frozen=True)
class Options:
    model: str = NURSERY  # nursery (embedded), or another folder with the same files.
    samples: int = 1_000  # Completions of which base rates are taken, one a test prompt.
    train_stories: int = generator.TRAIN_STORIES
    """Stories of which the corpus figures are taken and on which the 5-gram model is fitted."""
    seed: int = 42  # Of the samples: they are those of a run's evaluation before its first step.


@dataclass(frozen=True)
class Losses:
    """Nats a token of the held-out stories, over every token but each story's first, EOS among them."""

    model: float
    ngram: float
    tokens: int
    fitted_tokens: int  # of the stories that the 5-gram model was fitted on


@dataclass(frozen=True)
class Example:
    prompt: str
    rest: str  # as it stands behind the prompt: with the space that belongs there, or without
    finished: bool


@dataclass(frozen=True)
class Facts:
    config: DecoderConfig
    parameters: int
    training: Mapping[str, Any]  # pretraining.json
    corpus: Mapping[str, Any]
    losses: Losses
    texts: Mapping[str, Any]  # figures of an evaluation
    rewards: Mapping[str, tuple[float | None, float | None]]  # mean and hack rate, None for a reward without a predicate
    detectors: Mapping[str, float | None]  # share detected, by call
    names: Mapping[str, float]  # different first names a text, of samples and of held-out stories
    examples: Sequence[Example]
    settings: ResolvedExperiment


def read_training(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "pretraining.json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"--model {folder}: pretraining.json cannot be read: {error}") from error


def gather_facts(options: Options, folder: Path, progress: Progress) -> Facts:
    training = read_training(folder)
    run = build_run(prepare(Experiment(model=options.model, seed=options.seed, device="cpu", beta=0.0)))
    train, test = (
        list(progress.track(generator.stories(split, count), total=count, description=f"{split} stories"))
        for split, count in (("train", options.train_stories), ("test", generator.TEST_STORIES))
    )
    corpus_figures = with_spinner(progress, "corpus figures", lambda: corpus.figures(train, test))
    held_out = test[:HELD_OUT_STORIES]
    losses = measure_losses(run, train, held_out, progress)
    check_loss(training, losses.model)
    evaluation = with_spinner(progress, "samples", lambda: evaluate_modes(run, ["policy"], options.samples)["policy"])
    examples = [example_of(run, completion) for completion in evaluation.completions]
    return Facts(
        config=run.policy.config,
        parameters=sum(parameter.numel() for parameter in run.policy.parameters()),
        training=training,
        corpus=corpus_figures,
        losses=losses,
        texts=evaluation.metrics,
        rewards=reward_rates(evaluation.completions),
        detectors=detector_rates(evaluation.completions),
        names={"samples": names_a_text([each.prompt + each.rest for each in examples]), "stories": names_a_text(held_out)},
        examples=examples[:EXAMPLES],
        settings=run.config,
    )


def with_spinner(progress: Progress, description: str, work: Callable[[], Result]) -> Result:
    task = progress.add_task(description, total=None)
    result = work()
    progress.update(task, total=1, completed=1)
    return result


def measure_losses(run: Run, train: list[str], held_out: list[str], progress: Progress) -> Losses:
    fitted = with_spinner(progress, "train tokens", lambda: pretrain.encode(train, run.tokenizer))
    rows = pretrain.encode(held_out, run.tokenizer)
    vocab_size = run.policy.config.vocab_size
    rival = with_spinner(progress, "5-gram model", lambda: ngram.fit(fitted, vocab_size).loss(rows))
    model = with_spinner(progress, "held-out loss", lambda: pretrain.held_out_loss(run.policy, rows))
    return Losses(model, rival, tokens=sum(len(row) - 1 for row in rows), fitted_tokens=sum(map(len, fitted)))


def check_loss(training: Mapping[str, Any], measured: float) -> None:
    if abs(training["held_out_loss"] - measured) > MOST_LOSS_DIFFERENCE:
        raise UserError(
            f"the weights have a held-out loss of {measured:.4f}, pretraining.json says {training['held_out_loss']:.4f}:"
            " they are not of the same training"
        )


def example_of(run: Run, completion: Completion) -> Example:
    prompt = completion.prompt.text
    whole = run.tokenizer.decode([*completion.prompt.token_ids, *completion.token_ids], skip_special_tokens=False)
    assert whole.startswith(prompt), (whole, prompt)
    return Example(prompt, whole.removeprefix(prompt), completion.finished)


def names_a_text(texts: list[str]) -> float:
    """How many different girls and boys a text names, on average: a story of the corpus has two at the most."""
    lexicon = generator.load_lexicon()
    names = {name.lower() for name in (*lexicon["girl"], *lexicon["boy"])}
    return sum(len(names.intersection(words_of(text))) for text in texts) / len(texts)


def detector_rates(completions: list[Completion]) -> dict[str, float | None]:
    predicates = [bind_detector(DETECTOR_EXAMPLES.get(name, name), ENVIRONMENT) for name in detectors_of(ENVIRONMENT)]
    return {str(predicate): mean(predicate(completions)) for predicate in predicates}


def reward_rates(completions: list[Completion]) -> dict[str, tuple[float | None, float | None]]:
    detector = bind_detector(ENVIRONMENTS[ENVIRONMENT].default_detector, ENVIRONMENT)  # any: a score has one
    rates = {}
    for name in (name for name in rewards_of(ENVIRONMENT) if name != "classifier"):  # it needs a model of one's own
        reward = bind_reward(name, ENVIRONMENT)
        hacked = audit(reward, completions).hacked
        rates[name] = mean(score(reward, detector, completions).rewards), None if hacked is None else share(hacked)
    return rates


def render(facts: Facts) -> str:
    text = Path(__file__).with_suffix(".md.j2").read_text()
    template = jinja2.Template(
        text, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    return template.render(
        vars(facts),
        held_out_stories=HELD_OUT_STORIES,
        corpus_rows=[(name, figure(value)) for name, value in facts.corpus.items()],
        reward_rows=[(f"`{name}`", *map(cell, rates)) for name, rates in sorted(facts.rewards.items())],
        detector_rows=[(f"`{name}`", cell(rate)) for name, rate in sorted(facts.detectors.items())],
        table=markdown_table,
        figure=figure,
        cell=cell,
    )


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The first column left, the others right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def figure(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {figure(each)}" for key, each in value.items())
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}"


def write_card(words: Sequence[str]) -> None:
    options = parse(Options, words, "Writes the model card of nursery.", "bench.nursery_card")
    folder = generator.DATA if options.model == NURSERY else Path(options.model)
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, refresh_per_second=2) as progress:
        facts = gather_facts(options, folder, progress)
    (folder / "README.md").write_text(render(facts))
    print(f"written: {folder / 'README.md'}")


def main() -> int:
    return run_main(lambda: write_card(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
