"""Which stories are the split test: `uv run python -m models.nursery.making.split` writes data/test_numbers.txt.

The split of a story is known only once it is told, and one in sixteen is for testing; with their numbers at hand a run
tells these alone.
"""

import itertools

from models.nursery.generator import DATA, SEED, TEST_NUMBERS, TEST_STORIES, told_stories


def split_numbers(count: int = TEST_STORIES) -> list[int]:
    """The numbers of the first stories of the split, found by telling all of them."""
    return [number for number, _ in itertools.islice(told_stories("test", itertools.count(), SEED), count)]


if __name__ == "__main__":
    (DATA / TEST_NUMBERS).write_text("\n".join(map(str, split_numbers())) + "\n")
