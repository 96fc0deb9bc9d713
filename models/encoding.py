"""Texts to token ids, without special tokens, and no more of a long text than its first ids need."""

import re

from tokenizers import Tokenizer

WORDS_A_TOKEN = 2  # of a text are read to find its first tokens
TWO_WORDS = re.compile(r"\S\s+\S")


def encode(tokenizer: Tokenizer, texts: list[str], most: int | None = None) -> list[list[int]]:
    """The ids of each text, its first `most` alone where that is given, or as many as it has.

    The first ids are those of the whole text, of which its first words are read alone where these settle them.
    """
    if most is None:
        return [encoding.ids for encoding in tokenizer.encode_batch(texts, add_special_tokens=False)]
    openings = [opening(text, WORDS_A_TOKEN * most) for text in texts] if reads_word_by_word(tokenizer) else texts
    encodings = tokenizer.encode_batch(openings, add_special_tokens=False)
    rows = [encoding.ids[:most] for encoding in encodings]
    unsettled = [i for i, text in enumerate(texts) if openings[i] != text and not are_settled(encodings[i].word_ids, most)]
    for i, ids in zip(unsettled, encode(tokenizer, [texts[i] for i in unsettled]), strict=True):
        rows[i] = ids[:most]
    return rows


def opening(text: str, words: int) -> str:
    """The first words of a text, with the spaces between them."""
    beginning = re.match(rf"\s*\S+(?:\s+\S+){{{words - 1}}}", text)
    return beginning[0] if beginning else text


def reads_word_by_word(tokenizer: Tokenizer) -> bool:
    """No added token is looked for across white space, where an opening may end."""
    return not any(TWO_WORDS.search(token.content) for token in tokenizer.get_added_tokens_decoder().values())


def are_settled(word_ids: list[int | None], most: int) -> bool:
    """Whether text that follows cannot change the first ids, given the piece of the pre-tokenizer that each id is from.

    Pieces are made from left to right and each is tokenized by itself, so those before the last stay. A tokenizer without
    a pre-tokenizer has one piece, and nothing is settled.
    """
    return len(word_ids) > most and word_ids[most - 1] != word_ids[-1]
