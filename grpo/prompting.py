"""How a text becomes a prompt: encoded by itself, behind BOS where the model wants it, or put into its chat template."""

from dataclasses import dataclass, replace
from functools import partial

from configs.resolved import ResolvedExperiment
from envs.plugins import environments_of
from envs.types import Encode, Environment
from models.chat import chat_encoder
from models.encoding import encode
from models.loading import Pretrained


@dataclass(frozen=True)
class Prompting:
    """`encode` is what an environment is built with; `bos_ids` stand before what it gives."""

    encode: Encode
    bos_ids: tuple[int, ...] = ()

    def ids(self, text: str) -> tuple[int, ...]:
        return (*self.bos_ids, *self.encode([text])[0])


def prompting_of(config: ResolvedExperiment, pretrained: Pretrained) -> Prompting:
    """Raises UserError where the model lacks the BOS or the chat template that the settings want."""
    if environments_of(config.plugins)[config.env.name].in_chat:
        return Prompting(chat_encoder(pretrained))
    return Prompting(partial(encode, pretrained.tokenizer), pretrained.bos.ids(config.env.bos))


def with_bos(environment: Environment, bos_ids: tuple[int, ...]) -> Environment:
    """In the ids alone: what is shown of a prompt is its text."""
    if not bos_ids:
        return environment
    train, evaluation = (
        tuple(replace(prompt, token_ids=(*bos_ids, *prompt.token_ids)) for prompt in prompts)
        for prompts in (environment.train_prompts, environment.eval_prompts)
    )
    return replace(environment, train_prompts=train, eval_prompts=evaluation)
