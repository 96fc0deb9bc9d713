"""English word forms for the lexicon: `base`, or `base/form/form` where the rules do not hold.

Nouns: `singular/plural`. Verbs: `base/past/gerund`. Adjectives of size: `base/comparative`.
"""

VOWELS = "aeiou"
SOUNDS_LIKE_YOU = ("uni", "use", "usu", "uku", "ute", "eu", "one", "once")  # spelt with a vowel, said without
SILENT_H = ("hour", "honest", "heir", "honor")


def article(word: str) -> str:
    lowered = word.lower()
    vowel = lowered[0] in VOWELS and not lowered.startswith(SOUNDS_LIKE_YOU)
    return "an" if vowel or lowered.startswith(SILENT_H) else "a"


def _add_s(word: str, sibilants: tuple[str, ...]) -> str:
    if word.endswith(sibilants):
        return word + "es"
    if word.endswith("y") and word[-2] not in VOWELS:
        return word[:-1] + "ies"
    return word + "s"


def plural(entry: str) -> str:
    base, *forms = entry.split("/")
    return forms[0] if forms else _add_s(base, ("s", "x", "z", "ch", "sh"))


def third_person(entry: str) -> str:
    sibilants = ("s", "x", "z", "ch", "sh", "o")
    return _on_verb(entry.split("/")[0], lambda verb: _add_s(verb, () if verb.endswith("oo") else sibilants))


def past(entry: str) -> str:
    base, *forms = entry.split("/")
    return forms[0] if forms else _on_verb(base, _regular_past)


def gerund(entry: str) -> str:
    base, *forms = entry.split("/")
    return forms[1] if len(forms) > 1 else _on_verb(base, _regular_gerund)


def comparative(entry: str) -> str:
    base, *forms = entry.split("/")
    return forms[0] if forms else (base + "r" if base.endswith("e") else base + "er")


def _on_verb(phrase: str, rule) -> str:
    """Inflects the first word of `look around` and the like."""
    verb, *rest = phrase.split(" ")
    return " ".join([rule(verb), *rest])


def _regular_past(verb: str) -> str:
    if verb.endswith("e"):
        return verb + "d"
    if verb.endswith("y") and verb[-2] not in VOWELS:
        return verb[:-1] + "ied"
    return verb + "ed"


def _regular_gerund(verb: str) -> str:
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "ye", "oe")):
        return verb[:-1] + "ing"
    return verb + "ing"
