"""Expressions over metrics: what is read, what is refused, and that reading never runs anything."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctc.language.comparison import NoNumber, NotAnExpression, compare, metrics_of, names, names_champion, problem

OURS, THEIRS = {"auc": 0.8, "recall": 0.5, "empty": None}, {"auc": 0.7, "recall": 0.6}


@pytest.mark.parametrize(
    ("text", "left", "right", "holds"),
    [
        ("auc >= 0.8", 0.8, 0.8, True),
        ("auc > 0.8", 0.8, 0.8, False),
        ("auc < champion.auc", 0.8, 0.7, False),
        ("recall >= champion.recall - 0.1", 0.5, 0.5, True),
        ("2 * auc + -recall <= max(1, champion.auc, 1.2)", 1.1, 1.2, True),
        ("abs(auc - champion.auc) / 2 <= min(0.1, 0.2)", 0.05, 0.1, True),
        ("(auc + recall) * 2 > 2.6", 2.6, 2.6, False),
    ],
)
def test_what_holds(text: str, left: float, right: float, holds: bool) -> None:
    assert problem(text) == ""
    found = compare(text, OURS, THEIRS)
    assert (found.left, found.right) == pytest.approx((left, right))
    assert found.holds is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("auc", "compares nothing"),
        ("", "cannot be read"),
        ("auc >", "cannot be read"),
        ("auc = 1", "cannot be read"),
        ("0 < auc < 1", "more than once"),
        ("auc == 1", "something else than"),
        ("auc in recall", "something else than"),
        ("1 < 2", "names no metric"),
        ("auc ** 9 > 1", "is no number"),
        ("auc > True", "is no number"),
        ("auc > 'a'", "is no number"),
        ("auc.real > 1", "is no number"),
        ("champion > 1", "is no number"),
        ("max > auc", "is no number"),
        ("max(auc) > 1", "is no number"),
        ("abs(auc, 1) > 1", "is no number"),
        ("min(auc, key=1) > 1", "is no number"),
        ("open('x') > auc", "is no number"),
        ("(lambda: auc)() > 1", "is no number"),
        ("[auc][0] > 1", "is no number"),
        ("champion.auc.x > 1", "is no number"),
        ("(auc if auc else 1) > 1", "is no number"),
        ("(auc := 1) > 0", "is no number"),
        ("auc > " + "(" * 90 + "1" + ")" * 90, ""),
        ("auc > " + "-" * 60 + "1", "too deep"),
        ("auc > 1" + " " * 200, "at most 200"),
    ],
)
def test_what_is_refused(text: str, said: str) -> None:
    assert said in problem(text)
    if said:
        with pytest.raises(NotAnExpression):
            compare(text, OURS, THEIRS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("auc / (recall - 0.5) > 1", "division by zero"),
        ("empty > 1", "empty of the contender has no value"),
        ("champion.empty > 1", "empty of the champion has no value"),
        ("auc * 1e308 * 1e308 > 1", "not finite"),
        ("auc > " + "9" * 190, ""),
    ],
)
def test_what_has_no_answer(text: str, said: str) -> None:
    if not said:
        assert compare(text, OURS, THEIRS).holds is False
        return
    with pytest.raises(NoNumber, match=said):
        compare(text, OURS, THEIRS)


def test_the_names() -> None:
    text = "auc >= max(champion.auc, recall) - champion.auc"
    assert set(names(text)) == {("auc", False), ("auc", True), ("recall", False)}
    assert set(metrics_of(text)) == {"auc", "recall"}
    assert names_champion(text)
    assert not names_champion("auc > 0.5")


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    assert isinstance(problem(text), str)


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(-10, 10))
def test_arithmetic_is_pythons(a: float, b: float, c: float) -> None:
    found = compare("a * b - c >= champion.a + b", {"a": a, "b": b, "c": c}, {"a": c})
    assert found.holds == (a * b - c >= c + b)
    assert math.isfinite(found.left)
