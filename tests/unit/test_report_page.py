"""The report as a page: what it says, that it needs nothing from outside, and that records cannot inject HTML."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from history import CONTENDERS, STATE, attempt_record, history

from ctc.run.chart import chart
from ctc.run.records import Focus, cycles, reigns
from ctc.run.report import Subject, render
from ctc.run.text import amount

FOCUS = Focus("auc", "higher", "not_worse")
SUBJECT = Subject("flight-delay", "Will a departure arrive late?", "default", "kubeflow", FOCUS)


@pytest.fixture(scope="module")
def page() -> str:
    return render(SUBJECT, history(), STATE)


def test_every_cycle_is_told_with_its_numbers(page: str) -> None:
    assert page.count("<details") == 11
    for contender in filter(None, CONTENDERS):
        assert amount(contender) in page
    for words in (
        "version 7",
        "MemoryError",
        "214 of 20,311",
        "0.6940 [0.6830, 0.7050]",
        "+0.0210 [+0.0150]",
        "29,500",
    ):
        assert words in page, words


def test_it_needs_nothing_from_outside(page: str) -> None:
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)|@import|url\(|<script""", page)


def test_the_same_records_give_the_same_bytes(page: str) -> None:
    assert render(SUBJECT, history(), STATE) == page


def test_the_chart_is_well_formed_and_marks_what_happened() -> None:
    drawing = ElementTree.fromstring(chart(cycles(history()), FOCUS))
    marks = [element.get("class") or "" for element in drawing.iter()]

    assert marks.count("contender promoted-mark") == 7
    assert marks.count("contender held-mark") == 2
    assert marks.count("none") == 2
    assert marks.count("champion dot") == 8


def test_a_champion_is_followed_from_its_promotion_until_it_is_replaced() -> None:
    second = reigns(cycles(history()), "auc")[1]

    assert second.version == "2"
    assert second.points == ((1, 0.702), (2, 0.676), (4, 0.651))
    assert second.replaced_by == "3"


def test_the_decline_is_told_in_words(page: str) -> None:
    assert "Version 2 changed most: auc 0.7020 at 2013-03-10 11:00, 0.6510 at 2013-06-10 11:00." in page


def test_records_without_parts_still_make_a_page() -> None:
    bare = [
        {"kind": "attempt", "id": "a", "instant": "2013-02-10T11:00:00Z"},
        {"kind": "attempt", "id": "b", "instant": "2013-02-11T11:00:00Z", "outcome": "lost", "evaluation": None},
        {"kind": "wake", "id": "c", "instant": "2013-02-12T11:00:00Z", "suppressed": {"by": "cooldown", "reason": "x"}},
        {
            "kind": "wake",
            "id": "d",
            "instant": "2013-02-13T11:00:00Z",
            "suppressed": None,
            "triggers": [],
            "actions": [],
        },
    ]
    page = render(SUBJECT, bare, None)

    assert page.count("<details") == 3
    assert "<polyline" not in page


def test_no_records_say_so() -> None:
    assert "No run has left a record yet" in render(SUBJECT, [], None)


def test_text_of_records_is_escaped_everywhere() -> None:
    evil = "<script>alert(1)</script>\"'&"
    records = history()
    records[1]["candidate"]["version"] = records[2]["actions"][0]["version"] = evil
    records[1]["reason"] = records[0]["triggers"][0]["reason"] = evil
    records[1]["evaluation"]["slices"] = {evil: {evil: {"n": 1, "metrics": {"auc": {"contender": 0.5}}}}}
    page = render(Subject(evil, evil, evil, evil, FOCUS), records, {"champion": {"version": evil}, "last_wake": evil})

    assert "<script" not in page
    ElementTree.fromstring(chart(cycles(records), FOCUS))


def test_one_cycle_and_equal_values_still_have_an_axis() -> None:
    record = attempt_record(2, "a", "held", evaluation={"metrics": {"auc": {"contender": {"value": 0.7}}}})
    drawing = ElementTree.fromstring(chart(cycles([record]), FOCUS))

    assert len([element for element in drawing.iter() if element.get("class") == "grid"]) >= 2
