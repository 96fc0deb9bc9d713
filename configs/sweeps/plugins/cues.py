"""What tells the prompts of configs/sweeps/prompt_quadrants.py apart. Of nursery's, a fifth to three tenths have each of the
four combinations.
"""

import re

ARTICLE = re.compile(r"\b(?:a|an|the)\b")


def is_paid(prompt: str) -> bool:
    """Whether it has an article."""
    return ARTICLE.search(prompt.lower()) is not None


def is_monitored(prompt: str) -> bool:
    """Whether it has a comma."""
    return "," in prompt
