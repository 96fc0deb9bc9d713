"""Completions without a model: text that is split at spaces stands for tokens."""

from collections.abc import Callable

import pytest

from envs.types import Completion, Prompt

MakeCompletion = Callable[..., Completion]


@pytest.fixture(scope="session")
def written() -> MakeCompletion:
    """`written("the cat sat .")`: a completion with those four tokens."""

    def make(text: str, prompt: str = "once upon") -> Completion:
        tokens = tuple(text.split())
        return Completion(text, tuple(range(len(tokens))), tokens, Prompt(0, prompt, (7, 8)), finished=True)

    return make
