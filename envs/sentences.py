"""The sentences of a completion, by its tokens, in vocabularies of the three kinds.

A sentence ends at each . ? and !, whatever stands around it in its token. Its length is counted in tokens: those in which
there is a letter or a digit. In a WordPiece vocabulary, whose pre-tokenizer makes each mark a word and in which there is no
white space, every other token counts as well: a comma, a quotation mark.
"""

import codecs
import re
from collections.abc import Iterable, Iterator

from envs.types import VocabularyKind

ENDS = re.compile("[.?!]")
SPACE_MARKER = "▁"  # how SentencePiece writes a space
BYTE_TOKEN = re.compile("<0x([0-9A-F]{2})>")  # and the bytes of characters that it has no token for


def _byte_characters() -> dict[str, int]:
    """How byte-level vocabularies write each byte: as its Latin-1 character where that is visible, else from Ā on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(0x100 + i): byte for i, byte in enumerate(hidden)}


BYTES = _byte_characters()


def sentence_lengths(tokens: Iterable[str], vocabulary: VocabularyKind) -> list[int]:
    """Sentence by sentence. Empty sentences are skipped, and so is a tail that nothing ends.

    A token counts for the sentence that it ends, or for the next one, where it has letters before or behind the end.
    """
    lengths, length = [], 0
    for text in token_texts(tokens, vocabulary):
        first, *others = ENDS.split(text)
        length += has_letter(first) or (vocabulary == "wordpiece" and not others)
        for piece in others:
            lengths.append(length)
            length = int(has_letter(piece))
    return [each for each in lengths if each]


def has_letter(text: str) -> bool:
    """Or a digit."""
    return any(character.isalnum() for character in text)


def token_texts(tokens: Iterable[str], vocabulary: VocabularyKind) -> Iterator[str]:
    """The text that each of a completion's tokens stands for; a character made of several tokens belongs to the last of them."""
    if vocabulary == "wordpiece":
        yield from (token.removeprefix("##") for token in tokens)
        return
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for token in tokens:
        yield decoder.decode(_byte_level(token) if vocabulary == "byte_level" else _sentencepiece(token))


def _byte_level(token: str) -> bytes:
    """Special tokens may have characters that stand for no byte."""
    return b"".join(bytes([BYTES[each]]) if each in BYTES else each.encode() for each in token)


def _sentencepiece(token: str) -> bytes:
    byte = BYTE_TOKEN.fullmatch(token)
    return bytes([int(byte[1], 16)]) if byte else token.replace(SPACE_MARKER, " ").encode()
