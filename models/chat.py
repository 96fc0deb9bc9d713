"""Questions as a model's chat template puts them: what transformers' `apply_chat_template` makes of a user's message."""

from collections.abc import Callable

from configs.errors import option_error
from models.loading import Pretrained


def chat_encoder(pretrained: Pretrained) -> Callable[..., list[list[int]]]:
    """The ids of each text as the first message of a conversation, with the beginning of the reply behind it.

    All special tokens, BOS too, are the template's. Raises UserError where the model has no template, and, once it is used,
    where the template does not take a message or gives ids that the model lacks.
    """
    from jinja2 import TemplateError
    from transformers import AutoTokenizer

    refusal = f"--env.name chat: the model {pretrained.source}"
    try:
        tokenizer = AutoTokenizer.from_pretrained(pretrained.source)
    except (OSError, ValueError) as error:
        raise option_error(f"{refusal}: transformers cannot read its tokenizer: {' '.join(str(error).split())}") from error
    if not tokenizer.chat_template:
        raise option_error(f"{refusal} has no chat template; --env.name stories is for models without")

    def encode(texts: list[str], most: int | None = None) -> list[list[int]]:
        messages = [[{"role": "user", "content": text}] for text in texts]
        try:
            rows = [tokenizer.apply_chat_template(each, add_generation_prompt=True)["input_ids"] for each in messages]
        except (TemplateError, ValueError) as error:
            raise option_error(f"{refusal}: its chat template fails: {' '.join(str(error).split())}") from error
        largest = max((each for ids in rows for each in ids), default=0)
        if largest >= pretrained.model.config.token_count:
            raise option_error(f"{refusal}: its chat template makes token {largest}, which tokenizer.json has not")
        return [ids[:most] for ids in rows]

    return encode
