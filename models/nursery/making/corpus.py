"""Figures of the nursery corpus: `uv run python -m models.nursery.making.corpus`."""

import argparse
import gzip
import json
import re
import statistics
from collections import Counter

from models.nursery.generator import SEED, TRAIN_STORIES, load_lexicon, load_skeletons, stories

MOODS = ("happy", "sad", "proud", "tired", "brave", "angry", "calm", "lonely", "excited", "worried")


def tokens_of(text: str) -> list[str]:
    """Words and signs, as the tokenizer's pre-tokenizer splits them."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def sentence_lengths(text: str) -> list[int]:
    """Tokens of each sentence without its closing sign; quotation marks that follow a sign stand alone and are skipped."""
    parts = re.split(r"[.!?]", text)
    return [length for part in parts[:-1] if (length := len(tokens_of(part.lstrip("\"' "))))]


def gzip_ratio(texts: list[str]) -> float:
    """Bytes per compressed byte of the texts joined by newlines."""
    raw = "\n".join(texts).encode()
    return len(raw) / len(gzip.compress(raw, mtime=0))


def quantiles(values: list[int]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20)
    return {"5%": cuts[0], "25%": cuts[4], "50%": cuts[9], "75%": cuts[14], "80%": cuts[15], "95%": cuts[18]}


def figures(train: list[str], test: list[str]) -> dict:
    lowered = [story.lower() for story in train]
    words = Counter(word for story in lowered for word in re.findall(r"[a-z]+(?:'[a-z]+)?", story))
    lengths = [len(tokens_of(story)) for story in train]
    sentences = [length for story in train[:10_000] for length in sentence_lengths(story)]
    return {
        "seed": SEED,
        "skeletons": len(load_skeletons()),
        "alternative sentences": sum(len(line.alternatives) for skeleton in load_skeletons() for line in skeleton.lines),
        "lexicon entries": sum(map(len, load_lexicon().values())),
        "train stories": len(train),
        "test stories": len(test),
        "distinct stories in both": len(set(train) | set(test)),
        "distinct words": len(words),
        "distinct words seen 20 times": sum(count >= 20 for count in words.values()),
        "tokens a story": quantiles(lengths),
        "share of stories under 130 tokens": sum(length < 130 for length in lengths) / len(lengths),
        "tokens a sentence": quantiles(sentences) | {"mean": statistics.mean(sentences), "sd": statistics.pstdev(sentences)},
        "share of sentences of 3 to 20 tokens": sum(3 <= length <= 20 for length in sentences) / len(sentences),
        "share of stories with": {mood: sum(mood in story for story in lowered) / len(lowered) for mood in MOODS},
        "gzip ratio of 40 stories": gzip_ratio(train[:40]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stories", type=int, default=TRAIN_STORIES, help="how many train stories to measure (default: all)")
    parser.add_argument("--show", type=int, default=3, help="how many stories to print (default: 3)")
    options = parser.parse_args()
    train, test = list(stories("train", options.stories)), list(stories("test"))
    for story in train[: options.show]:
        print(story, end="\n\n")
    print(json.dumps(figures(train, test), indent=1))


if __name__ == "__main__":
    main()
