"""What travels between the engine and an environment: plain lists, no torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from configs.errors import RunFailure

FIRST_EVAL_INDEX = 1_000_000_000  # of evaluation prompts, so that none shares its draws with a training prompt


@dataclass(frozen=True)
class Prompt:
    """One prompt, tokenized once: `token_ids` are never decoded and encoded again.

    `facts` holds what an environment knows of a prompt, for its rewards and predicates (`repeat` keeps the words
    to be repeated and whether the hack is available or monitored).
    """

    index: int  # its number in the environment's prompt list; part of the key of every draw made for it
    text: str
    token_ids: tuple[int, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)


# How the strings of a vocabulary write text: `##ing`; `Ġthe` and `Ã©`, a character for each byte; `▁the` and `<0x0A>`.
VocabularyKind = Literal["wordpiece", "byte_level", "sentencepiece"]


@dataclass(frozen=True)
class Completion:
    """What the policy wrote after a prompt. `token_ids` and `tokens` (their vocabulary strings) leave EOS out."""

    text: str
    token_ids: tuple[int, ...]
    tokens: tuple[str, ...]
    prompt: Prompt
    finished: bool  # it ended with EOS, within the length limit
    vocabulary: VocabularyKind = "wordpiece"  # of `tokens`


@dataclass(frozen=True)
class Environment:
    """The prompts of a run. No evaluation prompt is a training prompt, and no two prompts have the same index.

    `notes` say in a run's log what a user should know of them.
    """

    name: str
    train_prompts: tuple[Prompt, ...]
    eval_prompts: tuple[Prompt, ...]
    notes: tuple[str, ...] = ()


@runtime_checkable
class Encode(Protocol):
    """The ids of each text, or the first `most` of them alone. It adds no special tokens."""

    def __call__(self, texts: list[str], most: int | None = None) -> list[list[int]]: ...


Values = list[float]
Span = tuple[int, int]  # from one character of a text to before another
Marks = Callable[..., list[Span]]  # gets a completion, and parameters by name
RewardFunction = Callable[[list[Completion]], Values]
Predicate = Callable[[list[Completion]], list[bool]]
Role = Literal["retain", "forget"]


@dataclass(frozen=True)
class BoundComponent:
    """A part of a reward: `scale` times its function, whose values lie in [0, 1] if `bounded`."""

    name: str
    role: Role
    scale: float
    function: RewardFunction
    bounded: bool
    fingerprint: Callable[[], str] | None = None  # of what its values depend on beside its code


@dataclass(frozen=True)
class BoundReward:
    """The sum of components, at most `cap`. `hack` is None where no predicate says when the reward was hacked.

    `marks` tell where in a completion stands what its components and `hack` count.
    """

    name: str
    components: tuple[BoundComponent, ...]
    cap: float | None
    hack: Predicate | None
    detector: str | None = None  # the call of the detector that fits it
    marks: tuple[Marks, ...] = ()


@dataclass(frozen=True)
class Scores:
    """What training may see of N completions. `components` are unscaled; `rewards` combine them."""

    rewards: Values
    components: dict[str, Values]
    detected: list[bool]


@dataclass(frozen=True)
class Audit:
    """What training must never see, for evaluation and logs: the ground truth, None where a reward has no predicate.

    `marks` are the places in each completion that a reader should see, None where the reward names none.
    """

    hacked: list[bool] | None
    marks: list[list[Span]] | None = None


class ContractViolation(RunFailure):
    """A reward or predicate broke its contract: it raised, or gave a wrong length, no number or no bool, NaN, or out of range."""
