"""What data checks answer from what was counted: truth tables."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ctc.policy.data_checks import JUDGES, accepted, leakage, schema
from ctc.run.text import check_answer, check_passed

NOW = dt.datetime(2024, 3, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("arguments", "rows", "history", "answer"),
    [
        ({"usual": 0.2}, 100, [100, 100], "not_evaluable"),
        ({"usual": 0.2}, 100, [], "not_evaluable"),
        ({"usual": 0.2}, 100, [100, 100, 100], "pass"),
        ({"usual": 0.2}, 80, [100, 90, 300], "pass"),
        ({"usual": 0.2}, 79, [100, 90, 300], "fail"),
        ({"usual": 0.2}, 120, [100, 90, 300], "pass"),
        ({"usual": 0.2}, 121, [100, 90, 300], "fail"),
        ({"usual": 0.1}, 110, [100, 100, 100], "pass"),
        ({"usual": 0.0}, 100, [100, 100, 100], "pass"),
        ({"usual": 0.5}, 152, [100, 102, 100, 102], "fail"),
        ({"usual": 0.5}, 0, [0, 0, 0], "pass"),
        ({"usual": 0.5, "min": 101}, 100, [], "fail"),
        ({"usual": 0.5, "max": 99}, 100, [100, 100, 100], "fail"),
        ({"usual": 0.5, "min": 1}, 100, [], "not_evaluable"),
    ],
)
def test_what_is_usual(arguments: dict[str, Any], rows: int, history: list[int], answer: str) -> None:
    assert JUDGES["row_count"](arguments, {"rows": rows, "history": history}, NOW).answer == answer


def test_only_the_latest_accepted_runs_before_now_say_what_is_usual() -> None:
    def ended(day: int, outcome: str) -> dict[str, str]:
        return {"id": f"{day}-{outcome}", "instant": f"2024-02-{day:02}T00:00:00Z", "outcome": outcome}

    outcomes = ["candidate", "held", "stopped", "failed", "lost"]
    history = [ended(day, outcome) for day in range(1, 10) for outcome in outcomes]
    history.append({"id": "later", "instant": "2024-03-01T00:00:00Z", "outcome": "held"})

    assert accepted(history, NOW) == [f"{day}-{outcome}" for day in range(5, 10) for outcome in outcomes[:2]]


@pytest.mark.parametrize(
    ("arguments", "labelled", "positives", "answer"),
    [
        ({"min": 0.1}, 0, 0, "not_evaluable"),
        ({"min": 0.1}, 10, 1, "pass"),
        ({"min": 0.1}, 11, 1, "fail"),
        ({"max": 0.1}, 10, 1, "pass"),
        ({"max": 0.1}, 10, 2, "fail"),
        ({"min": 0.1, "max": 0.2}, 10, 0, "fail"),
        ({"min": 0.1, "max": 0.2}, 10, None, "fail"),
    ],
)
def test_the_share_of_positive_labels(arguments: Any, labelled: int, positives: int, answer: str) -> None:
    assert JUDGES["label_rate"](arguments, {"labelled": labelled, "positives": positives}, NOW).answer == answer


def test_without_a_label_there_is_no_share() -> None:
    found = JUDGES["label_rate"]({"min": 0.1}, {"rows": 9}, NOW)

    assert (found.answer, found.reason) == ("not_evaluable", "the spec has no label of two classes")


@pytest.mark.parametrize(
    ("columns", "extra", "answer", "said"),
    [
        ({"a": "integer", "b": "string"}, None, "pass", "2 columns are as listed"),
        ({"a": "number"}, None, "pass", "1 columns"),
        ({"a": "string"}, None, "fail", "`a` is int64, not string"),
        ({"z": "string"}, None, "fail", "`z` is not there"),
        ({"a": "integer"}, "refuse", "fail", "`b` is not listed"),
        ({"a": "integer"}, "allow", "pass", ""),
        ({"a": "integer", "b": "string"}, "refuse", "pass", ""),
    ],
)
def test_columns_and_types(columns: dict[str, str], extra: str | None, answer: str, said: str) -> None:
    types = {
        "a": ("int64", frozenset({"integer", "number"})),
        "b": ("string", frozenset({"string"})),
        "row_id": ("string", frozenset({"string"})),
    }

    found = schema({"columns": columns, "extra": extra}, types, frozenset({"row_id"}))

    assert found.answer == answer
    assert said in found.reason


@pytest.mark.parametrize(
    ("areas", "answer", "feature"),
    [({}, "not_evaluable", None), ({"a": 0.9, "b": 0.6}, "pass", "a"), ({"b": 0.91, "a": 0.91}, "fail", "a")],
)
def test_the_feature_that_tells_most_is_named(areas: dict[str, float], answer: str, feature: str | None) -> None:
    found = leakage({"max_auc": 0.9}, areas, {"rows": 5})

    assert (found.answer, found.numbers.get("feature"), found.numbers["rows"]) == (answer, feature, 5)


@pytest.mark.parametrize(
    ("answer", "on_fail", "told"),
    [
        ("pass", "stop", "pass"),
        ("not_evaluable", "stop", "not_evaluable"),
        ("fail", "warn", "warn"),
        ("fail", "quarantine", "quarantine"),
    ],
)
def test_what_a_person_is_told_of_an_answer(answer: str, on_fail: str, told: str) -> None:
    check = {"answer": answer, "on_fail": on_fail}

    assert (check_answer(check), check_passed(check)) == (told, answer == "pass")
