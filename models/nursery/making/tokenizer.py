"""Trains nursery's WordPiece tokenizer: 4,096 tokens, SimpleStories' conventions.

`uv run python -m models.nursery.making.tokenizer` writes nursery/data/tokenizer.json.

WordPiece training leaves many merge steps behind that no text ever uses. So it trains a larger vocabulary,
counts what longest-match encoding of the corpus really uses, and keeps the most frequent 4,096 tokens.
"""

import json
import string
from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from models.nursery.generator import DATA, stories

VOCAB_SIZE = 4096
OVERSIZE = 9000  # tokens trained before the unused are dropped
UNK, EOS = "[UNK]", "[EOS]"


def blank_tokenizer(vocab: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token=UNK, max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation(), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=True)
    return tokenizer


def add_eos(tokenizer: Tokenizer) -> None:
    """Registers the special tokens and the rule that appends EOS when special tokens are asked for."""
    tokenizer.add_special_tokens([UNK, EOS])
    rule = {"single": f"$A {EOS}", "pair": f"$A $B:1 {EOS}:1", "special_tokens": [(EOS, tokenizer.token_to_id(EOS))]}
    tokenizer.post_processor = processors.TemplateProcessing(**rule)


def word_counts(texts: Iterable[str]) -> Counter[str]:
    """What the normalizer and the pre-tokenizer make of the texts, counted."""
    blank = blank_tokenizer({UNK: 0})
    split_texts = (blank.pre_tokenizer.pre_tokenize_str(blank.normalizer.normalize_str(text)) for text in texts)
    return Counter(word for words in split_texts for word, _ in words)


def token_counts(tokenizer: Tokenizer, words: Counter[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for token in tokenizer.model.tokenize(word):
            counts[token.value] += count
    return counts


def train_tokenizer(words: Counter[str], vocab_size: int = VOCAB_SIZE) -> Tokenizer:
    """Exactly `vocab_size` tokens, [UNK]=0 and [EOS]=1; raises AssertionError when the words make too few."""
    large = blank_tokenizer({UNK: 0})
    letters, signs = list(string.ascii_lowercase), list("0123456789.,!?;:'\"-()&$%/")
    trainer = trainers.WordPieceTrainer(
        vocab_size=OVERSIZE, special_tokens=[UNK, EOS], initial_alphabet=letters + signs, show_progress=True
    )
    large.train_from_iterator((word for word, count in words.items() for _ in range(count)), trainer, length=words.total())
    kept = [UNK, EOS, *sorted(signs), *letters, *(f"##{letter}" for letter in letters)]
    candidates = set(large.get_vocab()) - set(kept)
    while True:  # dropping a token may bring others into use, so count again until all candidates stay
        trial = blank_tokenizer({token: i for i, token in enumerate(kept + sorted(candidates))})
        counts = token_counts(trial, words)
        room = vocab_size - len(kept)
        best = sorted((token for token in candidates if counts[token]), key=lambda token: (-counts[token], token))
        assert len(best) >= room, f"only {len(best) + len(kept)} tokens are used, {vocab_size} are wanted"
        if len(candidates) == room:
            add_eos(trial)
            return trial
        excess = len(best) - room
        candidates = set(best[: room + excess // 2] if excess > 50 else best[:room])


def main() -> None:
    words = word_counts(stories("train"))
    tokenizer = train_tokenizer(words)
    tokenizer.save(str(DATA / "tokenizer.json"))
    print(json.dumps({"tokens": tokenizer.get_vocab_size(), "occurring": len(token_counts(tokenizer, words))}))


if __name__ == "__main__":
    main()
