"""The nursery corpus: short children's stories, made from skeletons and a lexicon.

A skeleton (`data/skeletons/*.txt`) is a plot told in 8 to 11 lines; each line holds alternative sentences with
slots; the lexicon (`data/lexicon.txt`) fills the slots. Story number `i` of a seed is a function of (seed, i)
alone. A story belongs to `test` when the digest of its text says so, so that the splits share no story
whatever their seeds and sizes are.

Left out on purpose: no grammar beyond English plurals, verb forms, "a"/"an" and pronouns.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from random import Random

from models.nursery.inflect import article, comparative, gerund, past, plural, third_person

DATA = Path(__file__).parent / "data"
SEED = 0  # of the corpus that the shipped weights were trained on
TRAIN_STORIES, TEST_STORIES = 100_000, 5_000  # what the two splits hold
SPLITS = ("train", "test")
TEST_NUMBERS = "test_numbers.txt"  # made by `python -m models.nursery.making.split`
TEST_SHARE = 1 / 16  # of all stories, those whose digest puts them into `test`
SKEW = 1.6  # 1 draws lexicon words uniformly; above, the first words of a list come up more often
TERSE = 0.8  # share of stories told briefly: no optional lines, of four alternatives drawn the shortest
MOOD = 0.55  # share of stories that say how somebody feels near the end
START = re.compile(r"(^\W*|[.!?] \{?\*?)([a-z])")  # of a sentence, or the slot there

FRESH = {"said", "asked", "whispered", "shouted", "slowly", "suddenly", "sound"}  # never bound
PRONOUNS = {"f": ("she", "her", "her", "herself"), "m": ("he", "him", "his", "himself")}
FORMS = {"s": plural, "ed": past, "ing": gerund, "es": third_person, "er": comparative, "": lambda entry: entry.split("/")[0]}


@dataclass(frozen=True)
class Slot:
    """`{form:*category2}`: a word of a category, bound to its key for the whole story unless fresh."""

    key: str  # category and number: the same key gives the same word
    category: str
    form: str
    fresh: bool
    with_article: bool
    capital: bool = False  # at the start of a sentence


Sentence = tuple[str | Slot, ...]  # pieces of text and slots in turn


@dataclass(frozen=True)
class Line:
    alternatives: tuple[Sentence, ...]
    optional: bool = False
    swappable: bool = False  # may change places with the next line, when that one is swappable too

    @cached_property
    def lengths(self) -> tuple[int, ...]:
        """Words of each alternative, a slot counted as one."""
        return tuple(sum(len(part.split()) if isinstance(part, str) else 1 for part in each) for each in self.alternatives)


@dataclass(frozen=True)
class Skeleton:
    name: str
    lines: tuple[Line, ...]


def category_of(key: str) -> str:
    return key.rstrip("0123456789")


def parse_slot(text: str) -> Slot:
    """Its first letter is a capital where the word is to begin with one."""
    name = text.lstrip("*")
    capital = name[0].isupper()
    *prefixes, word = text.replace(name, name[0].lower() + name[1:]).split(":")
    key = word.removeprefix("*")
    form = next((prefix for prefix in prefixes if prefix != "a"), "")
    assert form in FORMS, f"unknown form {form!r} in slot {{{text}}}"
    return Slot(key, category_of(key), form, key != word or category_of(key) in FRESH, "a" in prefixes, capital)


def parse_sentence(text: str) -> Sentence:
    capitalised = START.sub(lambda match: match[1] + match[2].upper(), text)
    pieces = re.split(r"\{([^}]+)\}", capitalised)
    return tuple(parse_slot(piece) if i % 2 else piece for i, piece in enumerate(pieces) if i % 2 or piece)


def parse_line(text: str) -> Line:
    alternatives = tuple(parse_sentence(part.strip()) for part in re.sub("^[?~] ", "", text).split(" | "))
    return Line(alternatives, optional=text.startswith("? "), swappable=text.startswith("~ "))


def parse_skeletons(text: str) -> list[Skeleton]:
    skeletons: list[Skeleton] = []
    for block in re.split(r"^# ", text, flags=re.MULTILINE)[1:]:
        name, *lines = [line.strip() for line in block.splitlines() if line.strip()]
        skeletons.append(Skeleton(name, tuple(map(parse_line, lines))))
    return skeletons


@cache
def load_skeletons() -> tuple[Skeleton, ...]:
    files = sorted((DATA / "skeletons").glob("*.txt"))
    skeletons = tuple(skeleton for file in files for skeleton in parse_skeletons(file.read_text()))
    assert len({skeleton.name for skeleton in skeletons}) == len(skeletons), "two skeletons share a name"
    return skeletons


@cache
def load_moods() -> dict[str, Line]:
    """{role that has the mood: its one line of alternatives}."""
    return {skeleton.name: skeleton.lines[0] for skeleton in parse_skeletons((DATA / "moods.txt").read_text())}


@cache
def load_lexicon() -> dict[str, tuple[str, ...]]:
    lexicon: dict[str, list[str]] = {}
    words: list[str] = []  # of the category at hand
    for line in filter(None, map(str.strip, (DATA / "lexicon.txt").read_text().splitlines())):
        if line.startswith("["):
            words = lexicon.setdefault(line.strip("[] "), [])
        else:
            word, _, times = line.partition(" *")
            words += [word] * int(times or 1)
    return {category: tuple(words) for category, words in lexicon.items()}


class Teller:
    """Fills the slots of one story; remembers what is bound."""

    def __init__(self, random: Random):
        self.random = random
        self.lexicon = load_lexicon()
        self.bound: dict[str, str] = {}  # by key
        self.taken: dict[str, list[str]] = {}  # by category: its words that are bound
        for role, prefix in (("hero", ""), ("friend", "f"), ("elder", "e")):
            gender = self.pick("fm")
            people = f"elder_{gender}" if role == "elder" else {"f": "girl", "m": "boy"}[gender]
            self.bound[role] = self.draw(people, taken=self.bound.values())
            self.bound |= pronouns(prefix, gender)

    def pick(self, options):
        # Random.choice may change between Python versions; Random.random may not.
        return options[int(self.random.random() * len(options))]

    def draw(self, category: str, taken=()) -> str:
        words = self.lexicon[category]
        while (word := words[int(len(words) * self.random.random() ** SKEW)]) in taken:
            pass
        return word

    def word(self, slot: Slot) -> str:
        if not slot.fresh and slot.key not in self.bound:
            taken = self.taken.setdefault(slot.category, [])
            self.bound[slot.key] = self.draw(slot.category, taken)
            taken.append(self.bound[slot.key])
        word = inflected(self.draw(slot.category) if slot.fresh else self.bound[slot.key], slot.form)
        text = f"{article(word)} {word}" if slot.with_article else word
        return text[0].upper() + text[1:] if slot.capital else text

    def tell(self, sentence: Sentence) -> str:
        return "".join([part if isinstance(part, str) else self.word(part) for part in sentence])


@cache
def pronouns(prefix: str, gender: str) -> dict[str, str]:
    """What the slots of a person's pronouns say, by key."""
    return {prefix + male: word for male, word in zip(PRONOUNS["m"], PRONOUNS[gender], strict=True)}


@cache
def inflected(entry: str, form: str) -> str:
    """A lexicon entry in a form; stories ask for the same few thousand again and again."""
    return FORMS[form](entry)


def tell_story(skeleton: Skeleton, random: Random) -> str:
    teller = Teller(random)
    terse = random.random() < TERSE
    kept = [line for line in skeleton.lines if not line.optional or not (terse or random.random() < 0.5)]
    position = 0
    while position + 1 < len(kept):
        swappable = kept[position].swappable and kept[position + 1].swappable
        if swappable and random.random() < 0.5:
            kept[position : position + 2] = kept[position + 1], kept[position]
        position += 1 + swappable
    sentences = [choose_sentence(teller, line, terse) for line in kept]
    used = {part.key for sentence in sentences for part in sentence if isinstance(part, Slot)}
    moods = [line for role, line in load_moods().items() if role in used]
    if moods and random.random() < MOOD:
        sentences.insert(len(sentences) - teller.pick((0, 0, 1)), teller.pick(moods[0].alternatives))
    return " ".join(map(teller.tell, sentences))


def choose_sentence(teller: Teller, line: Line, terse: bool) -> Sentence:
    random, count = teller.random.random, len(line.alternatives)
    drawn = [int(random() * count) for _ in range(4 if terse else 1)]
    return line.alternatives[min(drawn, key=line.lengths.__getitem__)]


def digest(story: str) -> int:
    """64 bits that stand for a story, blind to case as the tokenizer is."""
    return int.from_bytes(hashlib.blake2b(story.lower().encode(), digest_size=8).digest())


def split_of(key: int) -> str:
    return "test" if key / 2**64 < TEST_SHARE else "train"


def told_stories(split: str, numbers: Iterable[int], seed: int) -> Iterator[tuple[int, str]]:
    """The stories of those numbers that belong to the split, each with its number; no two alike."""
    skeletons = load_skeletons()
    digests: set[int] = set()
    for number in numbers:
        random = Random(f"{seed}/{number}")
        story = tell_story(skeletons[int(random.random() * len(skeletons))], random)
        key = digest(story)
        if split_of(key) == split and key not in digests:
            digests.add(key)
            yield number, story


@cache
def load_test_numbers() -> tuple[int, ...]:
    """Of the stories of the split test, so that the fifteen times as many between them need not be told."""
    return tuple(map(int, (DATA / TEST_NUMBERS).read_text().split()))


def stories(split: str, count: int | None = None, seed: int = SEED) -> Iterator[str]:
    """The first `count` stories of a split (all of it by default), no two alike.

    Raises ValueError for a split other than `train` and `test`, and where the shipped numbers are not those of this corpus.
    """
    if split not in SPLITS:
        raise ValueError(f"the nursery corpus has the splits train and test, not {split!r}")
    count = {"train": TRAIN_STORIES, "test": TEST_STORIES}[split] if count is None else count
    if split == "test" and seed == SEED and count <= TEST_STORIES:
        told = told_stories(split, load_test_numbers(), seed)
        for expected, (number, story) in zip(load_test_numbers()[:count], told, strict=False):
            if number != expected:
                raise ValueError(f"{DATA / TEST_NUMBERS}: is of another corpus: story {expected} is not in the split test")
            yield story
    else:
        yield from (story for _, story in itertools.islice(told_stories(split, itertools.count(), seed), count))
