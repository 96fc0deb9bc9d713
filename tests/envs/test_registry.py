from typing import Annotated

import pytest
from pydantic import Field

from envs.binding import bind_function
from envs.parameters import Words, parameters_model
from envs.registry import RegisteredFunction, add, lookup
from envs.types import Completion, Values


def example(
    completions: list[Completion],
    words: Words,
    count: Annotated[int, Field(ge=1)] = 5,
    share: Annotated[float, Field(ge=0, le=1)] = 0.5,
    strict: bool = False,
    label: str = "x",
) -> Values:
    return [share * count + len(words) + strict + len(label) for _ in completions]


def refuse(**params: object) -> str | None:
    return "5 is odd" if params["label"] == "even" else None


ENTRY = RegisteredFunction(example, parameters_model(example), ("stories",), hack=None, bounded=True, refuse=refuse)


def bound(**params: object) -> dict:
    return bind_function("reward example", ENTRY, {"words": ["a"]} | params).call.params


def test_defaults_are_filled_in_and_values_read_in_their_kind():
    assert bound() == {"words": ("a",), "count": 5, "share": 0.5, "strict": False, "label": "x"}
    assert bound(words=("b", "c"))["words"] == ("b", "c")
    assert bound(words="glad, merry")["words"] == ("glad", "merry")
    assert bound(count=1, share=0, strict=True, label="") == {
        "words": ("a",),
        "count": 1,
        "share": 0.0,
        "strict": True,
        "label": "",
    }
    assert isinstance(bound(share=1)["share"], float)


def test_a_bound_function_is_called_with_its_parameters_and_prints_as_its_call(written):
    function = bind_function("reward example", ENTRY, {"words": "a", "count": 3})
    assert function([written("a"), written("b")]) == [0.5 * 3 + 1 + 0 + 1] * 2
    assert str(function) == "example(words=('a',), count=3, share=0.5, strict=False, label='x')"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", "3"),
        ("count", True),
        ("count", 3.0),
        ("count", None),
        ("count", 0),
        ("share", "0.5"),
        ("share", True),
        ("share", 1.01),
        ("share", -0.01),
        ("share", float("nan")),
        ("share", float("inf")),
        ("share", 10**400),
        ("strict", 1),
        ("label", 1),
        ("words", 3),
        ("words", []),
        ("words", ""),
        ("words", "a,,b"),
        ("words", ["a", 1]),
        ("words", [" "]),
    ],
)
def test_a_value_of_the_wrong_kind_or_out_of_range_is_refused(name: str, value: object):
    with pytest.raises(ValueError) as caught:
        bound(**{name: value})
    assert f"reward example: {name}={value!r} is not accepted; accepted: {name}" in str(caught.value)


def test_what_is_accepted_is_listed_with_defaults():
    with pytest.raises(ValueError) as caught:
        bound(caps=3)
    assert str(caught.value) == (
        "reward example: unknown parameter caps=3; accepted: words (a list of words, or 'one,two'), "
        "count=5 (an int, at least 1), share=0.5 (a number, from 0 to 1), strict=False (a bool), label='x' (a string)"
    )


def test_a_parameter_without_a_default_is_required():
    with pytest.raises(ValueError, match=r"reward example: parameter words .* is required"):
        bind_function("reward example", ENTRY, {})


def test_an_entry_may_refuse_its_parameters_together():
    with pytest.raises(ValueError, match="reward example: 5 is odd"):
        bound(label="even")


def test_a_function_that_could_not_be_bound_is_refused_when_it_is_registered():
    def unannotated(completions, threshold=3) -> Values:
        return [threshold for _ in completions]

    def impossible_default(completions, threshold: Annotated[int, Field(ge=4)] = 3) -> Values:
        return [threshold for _ in completions]

    with pytest.raises(TypeError, match="parameter threshold is annotated with None"):
        parameters_model(unannotated)
    with pytest.raises(ValueError, match="threshold=3 is not accepted"):
        parameters_model(impossible_default)


def test_a_name_is_registered_once():
    table = {"taken": 1}
    with pytest.raises(ValueError, match="taken is registered already"):
        add(table, "taken", 2)
    add(table, "free", 3)
    assert table == {"taken": 1, "free": 3}


@pytest.mark.parametrize("name", ["c", "", None])
def test_an_unknown_name_lists_the_accepted_ones(name: object):
    with pytest.raises(ValueError) as caught:
        lookup("reward", name, {"b": 1, "a": 2})  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == f"reward {name!r} is unknown; accepted: a, b"
