"""The environment `stories`: a prompt is the beginning of a story, and the policy goes on from there."""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import islice

from configs.experiment import EnvironmentSettings
from envs.types import FIRST_EVAL_INDEX, Encode, Environment, Prompt

CHUNK = 200  # texts tokenized at a time; no more than are needed
MOST_UNKNOWN = 0.01  # share of prompt tokens
TokenIds = tuple[int, ...]


def build_stories(
    texts: Callable[[str], Iterable[str]],
    encode: Encode,
    decode: Callable[[list[int]], str],
    unk_id: int | None,
    settings: EnvironmentSettings,
) -> Environment:
    """Prompts are the beginnings of stories, which the policy goes on with.

    Training prompts are from `texts("train")`, evaluation prompts from `texts("eval")`, in the order of the texts. `encode`
    adds no special tokens. Either is read no further than needed; one that runs out gives fewer prompts. Raises ValueError
    where it gives none, and where more than 1 % of its prompt tokens are unknown to the tokenizer.
    """

    def prompts(use: str, most: int, excluded: Collection[TokenIds], first_index: int) -> dict[TokenIds, Prompt]:
        beginnings = _beginnings(texts(use), encode, settings.prompt_length, excluded)
        rows = list(islice(beginnings, most))
        _refuse_misfits(rows, use, settings.prompt_length, unk_id)
        return {ids: Prompt(index, decode(list(ids)), ids) for index, ids in enumerate(rows, first_index)}

    train = prompts("train", settings.num_prompts, (), 0)
    evaluation = prompts("eval", settings.num_eval_prompts, train.keys(), FIRST_EVAL_INDEX)
    return Environment("stories", tuple(train.values()), tuple(evaluation.values()))


def _beginnings(texts: Iterable[str], encode: Encode, length: int, excluded: Collection[TokenIds]) -> Iterator[TokenIds]:
    """The first `length` ids of each story that is long enough, those seen before or excluded left out."""
    seen = set(excluded)
    remaining = iter(texts)
    while chunk := list(islice(remaining, CHUNK)):
        for beginning in map(tuple, encode(chunk, length)):
            if len(beginning) == length and beginning not in seen:
                seen.add(beginning)
                yield beginning


def _refuse_misfits(prompts: list[TokenIds], use: str, length: int, unk_id: int | None) -> None:
    if not prompts:
        raise ValueError(f"no new story of at least prompt_length={length} tokens for {use} prompts")
    refuse_unknown(prompts, use, unk_id)


def refuse_unknown(prompts: Collection[TokenIds], use: str, unk_id: int | None) -> None:
    """Raises ValueError where too many tokens of the prompts are unknown to the tokenizer."""
    share = sum(ids.count(unk_id) for ids in prompts) / sum(map(len, prompts)) if unk_id is not None else 0.0
    if share > MOST_UNKNOWN:
        raise ValueError(
            f"{share:.1%} of the {use} prompts' tokens are unknown to the tokenizer (accepted: at most {MOST_UNKNOWN:.0%}):"
            " tokenizer and dataset do not fit"
        )
