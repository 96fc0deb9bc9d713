"""A model's tokenizer: texts become ids by its file alone, without what was saved for other uses of it, and BOS where wanted."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from tokenizers import Tokenizer

from configs.errors import option_error
from models.files import TOKENIZER, ModelFiles

TOKENIZER_CONFIG = "tokenizer_config.json"


@dataclass(frozen=True)
class Bos:
    """The tokens before a text: those that the tokenizer itself puts there, and the one that the model's files name."""

    own: tuple[int, ...]
    named: int | None

    def ids(self, setting: str) -> tuple[int, ...]:
        """By --env.bos: auto, always, never. Raises UserError where there is none to be had."""
        if setting != "always" or self.own:
            return () if setting == "never" else self.own
        if self.named is None:
            raise option_error(
                f"--env.bos always: the model has none: neither {TOKENIZER_CONFIG} nor config.json names a BOS token"
            )
        return (self.named,)


def load_tokenizer(files: ModelFiles) -> Tokenizer:
    """Padding and truncation, which a file may have saved, are off. Raises UserError."""
    path = files.need(TOKENIZER)
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the tokenizers library raises nothing narrower for a damaged file
        raise files.error(f"{TOKENIZER} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def count_tokens(files: ModelFiles, tokenizer: Tokenizer, rows: int) -> int:
    """The ids from 0 on that the tokenizer knows. Raises UserError for gaps in them, and for more than the model has rows."""
    ids = set(tokenizer.get_vocab().values())
    count = max(ids, default=-1) + 1
    if gaps := sorted(set(range(count)) - ids):
        raise files.error(
            f"its tokenizer has no token {gaps[0]} ({len(gaps)} gaps below its last, {count - 1}); a model could say it"
        )
    if not 0 < count <= rows:
        raise files.error(f"its tokenizer has {count} tokens, its weights {rows}; they do not fit")
    return count


def bos_of(tokenizer: Tokenizer, tokenizer_config: dict[str, Any], config: dict[str, Any]) -> Bos:
    """Of what tokenizer_config.json and config.json hold."""
    token = tokenizer_config.get("bos_token")
    token = token.get("content") if isinstance(token, dict) else token
    named = tokenizer.token_to_id(token) if isinstance(token, str) else config.get("bos_token_id")
    return Bos(own_bos(tokenizer), None if token_of(tokenizer, named) is None else named)


def own_bos(tokenizer: Tokenizer) -> tuple[int, ...]:
    """What the tokenizer itself puts before a text. What it puts behind one, such as EOS, is never part of it."""
    encoding = tokenizer.encode("a", add_special_tokens=True)
    before = takewhile(lambda pair: pair[1], zip(encoding.ids, encoding.special_tokens_mask, strict=True))
    return tuple(each for each, _ in before)


def token_of(tokenizer: Tokenizer, number: Any) -> str | None:
    """None for what is no token's id."""
    return tokenizer.id_to_token(number) if type(number) is int and number >= 0 else None


def bos_note(tokenizer: Tokenizer, bos_ids: tuple[int, ...]) -> list[str]:
    return [f"prompts begin with BOS ({named_tokens(tokenizer, bos_ids)})"] if bos_ids else []


def unused_bos_note(bos: Bos, tokenizer_config: dict[str, Any]) -> list[str]:
    """transformers 5 does not heed it either."""
    if bos.own or not tokenizer_config.get("add_bos_token"):
        return []
    return [f"add_bos_token in {TOKENIZER_CONFIG} has no effect beside {TOKENIZER}, as in transformers; --env.bos always has"]


def named_tokens(tokenizer: Tokenizer, ids: Iterable[int], joined: str = " and ") -> str:
    """`token 1 '<s>'`."""
    return joined.join(f"token {each} {tokenizer.id_to_token(each)!r}" for each in ids)
