"""Formulas of branches: what they compute, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from truthtag.data.readers.column import Column
from truthtag.data.readers.formula import discriminant_branches, parse_formula
from truthtag.errors import ConfigError, DataError

A = np.array([1.0, 2.0, 3.0])
OFFSETS = np.array([0, 2, 2, 3])
COLUMNS = {
    "a": Column(A, OFFSETS),
    "b": Column(np.array([4, 5, 6], dtype=np.int8), OFFSETS.copy()),
    "e": Column(np.array([10.0, 20.0, 30.0])),
    "x.y": Column(A / 2, OFFSETS),
    "x:y": Column(A / 4, OFFSETS),
    "other": Column(A, np.array([0, 1, 2, 3])),
}


def value(text: str) -> Column:
    return parse_formula(text).evaluate(COLUMNS, "file.root", 100)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + b * 2", A + np.array([8, 10, 12])),
        ("-(a - 1) / b ** 2", -(A - 1) / np.array([16, 25, 36])),
        ("+a", A),
        ("log(a) + exp(a) - sqrt(a) + abs(-a)", np.log(A) + np.exp(A) - np.sqrt(A) + A),
        ("min(a, b, 2)", [1, 2, 2]),
        ("max(a, 2)", [2, 2, 3]),
        ("x.y * 2", A),
        ("`x:y` * 4 + `x.y` * 0", A),
        # A value per event is repeated for its jets.
        ("a + e", [11, 12, 33]),
        ("a + e * 0 + 1e1", A + 10),
        ("a * (2 - 1)", A),
        (" a ", A),
    ],
)
def test_formulas_are_computed(text: str, expected: np.ndarray) -> None:
    found = value(text)
    assert found.values.tolist() == pytest.approx(list(expected))
    assert found.offsets is OFFSETS or np.array_equal(found.offsets, OFFSETS)


def test_a_branch_alone_keeps_its_type() -> None:
    assert value("b") is COLUMNS["b"]
    assert parse_formula("b").is_branch
    assert not parse_formula("b * 1").is_branch
    assert value("b * 1").values.dtype == np.float64


def test_formulas_of_events_have_a_value_per_event() -> None:
    assert value("e / 10").values.tolist() == [1, 2, 3]
    assert value("e / 10").offsets is None
    assert value("3 * 2").values.tolist() == [6, 6, 6]


def test_an_element_of_a_list_is_a_value_per_event() -> None:
    assert value("a[0]").values.tolist() == pytest.approx([1, np.nan, 3], nan_ok=True)
    assert value("a[1] + e").values.tolist() == pytest.approx([12, np.nan, np.nan], nan_ok=True)
    with pytest.raises(
        DataError, match=r"file.root: e\[0\] was asked for, .*no list. Leave the br"
    ):
        value("e[0]")


def test_impossible_numbers_are_not_finite_and_no_error() -> None:
    assert value("1 / (a - 1)").values.tolist() == [np.inf, 1, 0.5]
    assert np.isnan(value("log(-a)").values).all()
    assert value("log(a - 1)").values[0] == -np.inf
    assert value("9 ** 9 ** 9 ** 9 + a").values.tolist() == [np.inf] * 3
    assert np.isnan(value("0 / 0 + a").values).all()


def test_lists_of_other_lengths_are_not_combined() -> None:
    text = r"file.root: a and other cannot be combined: in entry 100 one has 2 values, the other 1"
    with pytest.raises(DataError, match=text):
        value("a * other")


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "a b", "a;b", "a +", "(a", "`a", "__import__('os')", "a.b()", "a.b(c)", "f(a)",
        "log(a, b)", "log()", "max(a)", "max(*a)", "log(x=a)", "exp(**a)", "a if b else c",
        "lambda: 1", "lambda x: x", "[a]", "{a}", "(a, b)", "{a: b}", "'text'", "b'x'", "f'{a}'",
        "True", "None", "...", "1j", "a < b", "a == b", "a and b", "not a", "~a", "a // b",
        "a % b", "a @ b", "a & b", "a << b", "a[b]", "a[-1]", "a[1:2]", "a[0][0]", "a[True]",
        "(a + b)[0]", "(a + b).c", "a := 1", "(a := 1)", "[x for x in a]", "await a", "yield a",
        "a\nb", "a = b", "import os", "a" * 3000, "(" * 1000 + "a" + ")" * 1000, "\0",
        "-" * 1500 + "a",
    ],
)  # fmt: skip
def test_all_else_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"(Allowed are names of branches|allowed are 2000)"):
        parse_formula(text)


def test_the_error_shows_what_was_written() -> None:
    with pytest.raises(ConfigError, match=r"^'`x:y` % 2' in 'a \+ `x:y` % 2' is not allowed in a"):
        parse_formula("a + `x:y` % 2")


@given(st.text(alphabet="ab.:`()[]+-*/0123,= '\"", max_size=30))
def test_any_text_is_a_formula_or_refused(text: str) -> None:
    try:
        formula = parse_formula(text)
    except ConfigError:
        return
    columns = dict.fromkeys(formula.branches, COLUMNS["a"])
    assert isinstance(formula.evaluate(columns, "file.root", 0), Column)


def test_branches_are_named_once_in_order() -> None:
    assert discriminant_branches("b + a * b + c.d[0] + `e f`") == ("b", "a", "c.d", "e f")
    assert discriminant_branches("1 + 2") == ()
