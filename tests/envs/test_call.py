import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.call import Call, parse_call

NAMES = st.from_regex(r"[a-z_]{1,6}_x", fullmatch=True)
LITERALS = st.recursive(
    st.integers() | st.booleans() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner),
    max_leaves=4,
)


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("happy_count", Call("happy_count", {})),
        (" happy_count() ", Call("happy_count", {})),
        ("happy_count(cap=3)", Call("happy_count", {"cap": 3})),
        ("f(a=-0.5, b='x, y', c=['p', 'q'], d=True)", Call("f", {"a": -0.5, "b": "x, y", "c": ["p", "q"], "d": True})),
    ],
)
def test_reads_a_name_and_keyword_literals(text: str, call: Call):
    assert parse_call(text) == call


@settings(deadline=None)
@given(NAMES, st.dictionaries(NAMES, LITERALS, max_size=3))
def test_what_is_printed_is_read_back(name: str, params: dict):
    call = Call(name, params)
    assert parse_call(str(call)) == call


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "cannot read"),
        ("happy_count(3)", "by name"),
        ("happy_count(cap=)", "cannot read"),
        ("f(a=1, a=2)", "twice"),
        ("f(**{'a': 1})", "not supported"),
        ("f(a=open('x'))", "a is not a finite literal"),
        ("f(a=b)", "a is not a finite literal"),
        ("f(a=1e999)", "a is not a finite literal"),
        ("a.b(c=1)", "neither"),
        ("f(a=1)(b=2)", "neither"),
        ("'f'", "neither"),
        ("f; g", "cannot read"),
        ("f\n(a=1)\ng", "cannot read"),
        ("f\0", "cannot read"),
        ("(" * 100_000, "cannot read"),
    ],
)
def test_a_wrong_form_is_one_line_with_the_text_and_an_example(text: str, reason: str):
    with pytest.raises(ValueError, match=reason) as caught:
        parse_call(text)
    message = str(caught.value)
    assert repr(text) in message
    assert "happy_count(cap=5)" in message
    assert "\n" not in message
