"""The environment `chat`: a prompt is a question in the model's chat template, and the policy replies."""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from itertools import islice

from configs.experiment import EnvironmentSettings
from envs.stories import CHUNK, TokenIds, refuse_unknown
from envs.types import FIRST_EVAL_INDEX, Encode, Environment, Prompt


def build_chat(
    texts: Callable[[str], Iterable[str]],
    encode: Encode,
    decode: Callable[[list[int]], str],  # noqa: ARG001 -- a prompt's text is the question alone
    unk_id: int | None,
    settings: EnvironmentSettings,
) -> Environment:
    """Prompts are questions in the model's chat template, which the policy replies to.

    There is one for each new question of `texts("train")`, and of `texts("eval")` for evaluation, in their order. `encode`
    puts a question into the chat template. Raises ValueError where either has none, and where more than 1 % of its prompt
    tokens are unknown to the tokenizer.
    """

    def prompts(use: str, most: int, excluded: Collection[TokenIds], first_index: int) -> dict[TokenIds, Prompt]:
        questions = dict(islice(_questions(texts(use), encode, excluded), most))
        if not questions:
            raise ValueError(f"no new question for {use} prompts")
        refuse_unknown(questions, use, unk_id)
        return {ids: Prompt(index, text, ids) for index, (ids, text) in enumerate(questions.items(), first_index)}

    train = prompts("train", settings.num_prompts, (), 0)
    evaluation = prompts("eval", settings.num_eval_prompts, train.keys(), FIRST_EVAL_INDEX)
    return Environment("chat", tuple(train.values()), tuple(evaluation.values()))


def _questions(texts: Iterable[str], encode: Encode, excluded: Collection[TokenIds]) -> Iterator[tuple[TokenIds, str]]:
    """Those seen before or excluded left out."""
    seen, remaining = set(excluded), iter(texts)
    while chunk := list(islice(remaining, CHUNK)):
        for ids, text in zip(map(tuple, encode(chunk)), chunk, strict=True):
            if ids not in seen:
                seen.add(ids)
                yield ids, text


def without_long_prompts(environment: Environment, longest: int) -> Environment:
    """Prompts of more than `longest` tokens are left out, and counted in the notes. Raises ValueError where none is left."""
    train, evaluation = (
        tuple(prompt for prompt in prompts if len(prompt.token_ids) <= longest)
        for prompts in (environment.train_prompts, environment.eval_prompts)
    )
    if not train or not evaluation:
        raise ValueError(f"no question is short enough: in the chat template they are longer than {longest} tokens")
    if (train, evaluation) == (environment.train_prompts, environment.eval_prompts):
        return environment
    kept = {"training": (train, environment.train_prompts), "evaluation": (evaluation, environment.eval_prompts)}
    counts = [f"{len(whole) - len(some)} of {len(whole)} {use} prompts" for use, (some, whole) in kept.items()]
    note = f"left out, as longer than {longest} tokens: {', '.join(counts)}"
    return replace(environment, train_prompts=train, eval_prompts=evaluation, notes=(*environment.notes, note))
