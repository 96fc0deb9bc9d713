"""English word forms for the lexicon: `base`, or `base/form/form` where the rules do not hold.

Nouns: `singular/plural`. Verbs: `base/past/gerund`. Adjectives of size: `base/comparative`.
"""

import re

SOUNDS_LIKE_YOU = ("uni", "use", "usu", "uku", "ute", "eu", "one", "once")  # spelt with a vowel, said without
SILENT_H = ("hour", "honest", "heir", "honor")

# Ending and what stands in its place; the first that a word has counts.
PLURAL = ((r"(s|x|z|ch|sh)$", r"\1es"), (r"(?<![aeiou])y$", "ies"), (r"$", "s"))
THIRD_PERSON = ((r"(s|x|z|ch|sh|(?<!o)o)$", r"\1es"), (r"(?<![aeiou])y$", "ies"), (r"$", "s"))
PAST = ((r"e$", "ed"), (r"(?<![aeiou])y$", "ied"), (r"$", "ed"))
GERUND = ((r"ie$", "ying"), (r"(?<![eyo])e$", "ing"), (r"$", "ing"))


def article(word: str) -> str:
    lowered = word.lower()
    vowel = lowered[0] in "aeiou" and not lowered.startswith(SOUNDS_LIKE_YOU)
    return "an" if vowel or lowered.startswith(SILENT_H) else "a"


def plural(entry: str) -> str:
    base, *forms = entry.split("/")
    return forms[0] if forms else with_ending(base, PLURAL)


def third_person(entry: str) -> str:
    return inflect_verb(entry.split("/")[0], THIRD_PERSON)


def past(entry: str) -> str:
    base, *forms = entry.split("/")
    return forms[0] if forms else inflect_verb(base, PAST)


def gerund(entry: str) -> str:
    base, *forms = entry.split("/")
    return forms[1] if len(forms) > 1 else inflect_verb(base, GERUND)


def comparative(entry: str) -> str:
    base, *forms = entry.split("/")
    return forms[0] if forms else base.removesuffix("e") + "er"


def inflect_verb(phrase: str, endings: tuple[tuple[str, str], ...]) -> str:
    """Inflects the first word of `look around` and the like."""
    verb, *rest = phrase.split(" ")
    return " ".join([with_ending(verb, endings), *rest])


def with_ending(word: str, endings: tuple[tuple[str, str], ...]) -> str:
    return next(re.sub(ending, new, word, count=1) for ending, new in endings if re.search(ending, word))
