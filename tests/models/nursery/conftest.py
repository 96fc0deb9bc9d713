"""The beginning of the corpus, made once for all tests of the session."""

import pytest

from models.nursery.generator import stories


@pytest.fixture(scope="session")
def train_sample() -> list[str]:
    return list(stories("train", 4_000))


@pytest.fixture(scope="session")
def test_sample() -> list[str]:
    return list(stories("test", 100))
