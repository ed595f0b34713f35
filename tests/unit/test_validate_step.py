"""Data checks: missing values, no rows at all, sources, and what a failed one does."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from step_tables import DAY, INSTANT, at, data, services, source, store, task

from ctc.steps import results, row_rules, uniqueness, validate
from ctc.steps.task import Result, StepFailed

# ibis still calls what DuckDB 2 renamed.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

NOW = at(48)
TYPES = {
    "row_id": pa.string(),
    "event_time": INSTANT,
    "x": pa.float64(),
    "d": pa.decimal128(5, 1),
    "s": pa.string(),
    "n": pa.int64(),
}
ROWS = [
    {"row_id": "a", "event_time": at(1), "x": 1.0, "d": Decimal("1.5"), "s": "u", "n": 1},
    {"row_id": "b", "event_time": at(2), "x": float("nan"), "d": None, "s": "v", "n": 1},
    {"row_id": "c", "event_time": at(30), "x": None, "d": Decimal("9.5"), "s": None, "n": None},
    {"row_id": "d", "event_time": at(40), "x": 7.0, "d": Decimal("2"), "s": "w", "n": 2},
]
MAIN = {"id": pa.string(), "at": INSTANT, "seen": INSTANT}


def check(kind: str, source: str | None = None, on_fail: str = "stop", **arguments: Any) -> dict[str, Any]:
    return {"name": f"c_{kind}", "kind": kind, "source": source, "on_fail": on_fail, "arguments": arguments}


def run(folder: Path, *checks: dict[str, Any], rows: list[dict[str, Any]] | None = None, audit: Any = ()) -> Result:
    """The step on `rows` spread over the parts of a snapshot, and a main source of three rows, one not yet known."""
    given = ROWS if rows is None else rows
    parts = {"train": given[:2], "valid": given[2:3], "holdout": given[3:]}
    for name, part in parts.items():
        store(folder / name / "data.parquet", TYPES, part)
    seen = [{"id": name, "at": at(hour), "seen": at(hour + 5)} for name, hour in (("a", 1), ("b", 20), ("z", 46))]
    main = store(folder / "main.parquet", MAIN, seen)
    described = data({"main": source("rows", main, event_time="at", known_at="seen", key=["id"])}, audit=list(audit))
    inputs = {name: folder / name for name in parts}
    step = task("validate", folder, NOW, inputs, data=described, validation={"checks": list(checks)})
    return validate.run(step, services(folder))


def answer(result: Result) -> tuple[str, dict[str, Any]]:
    json.dumps(result.numbers, allow_nan=False)
    found = result.numbers["checks"][0]
    return found["answer"], found["numbers"]


@pytest.mark.parametrize(
    ("judged", "said", "numbers"),
    [
        (check("row_count", min=4, max=4), "pass", {"rows": 4}),
        (check("row_count", min=5), "fail", {"rows": 4, "min": 5}),
        (check("row_count", max=3), "fail", {"max": 3}),
        (check("null_ratio", column="x", max=0.5), "pass", {"missing": 2, "ratio": 0.5}),
        (check("null_ratio", column="x", max=0.49), "fail", {"missing": 2}),
        (check("null_ratio", column="s", max=0.0), "fail", {"missing": 1}),
        (check("range", column="x", min=1, max=7), "pass", {"outside": 0, "lowest": 1.0, "highest": 7.0}),
        (check("range", column="x", min=1.5), "fail", {"outside": 1, "ratio": 0.25}),
        (check("range", column="x", max=6, tolerate=0.25), "pass", {"outside": 1}),
        (check("range", column="d", max=9), "fail", {"outside": 1, "lowest": 1.5, "highest": 9.5}),
        (check("allowed_values", column="s", values=["u", "v", "w"]), "pass", {"outside": 0}),
        (check("allowed_values", column="s", values=["u"]), "fail", {"outside": 2}),
        (check("allowed_values", column="n", values=[1, 2]), "pass", {"outside": 0}),
        (check("allowed_values", column="n", values=["1", "2"]), "fail", {"outside": 3}),
        (check("unique", columns=["row_id"]), "pass", {"repeated": 0}),
        (check("unique", columns=["n"]), "fail", {"repeated": 1}),
        (check("unique", columns=["n", "row_id"]), "pass", {"repeated": 0}),
        (check("freshness", max_age=23 * 3600.0), "pass", {"age_seconds": 23 * 3600.0}),
        (check("freshness", max_age=22 * 3600.0), "fail", {"newest": "2024-01-02T01:00:00Z"}),
        (check("row_count", source="main", min=2, max=2), "pass", {"rows": 2}),
        (check("unique", source="main", columns=["id"]), "pass", {"rows": 2}),
        (check("freshness", source="main", max_age=DAY), "pass", {"age_seconds": 23 * 3600.0}),
    ],
)
def test_what_a_check_says(tmp_path: Path, judged: dict[str, Any], said: str, numbers: dict[str, Any]) -> None:
    result = run(tmp_path, judged)

    found = answer(result)
    assert found[0] == said
    assert numbers.items() <= found[1].items()
    assert result.flags == {"go": said == "pass"}


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        (check("row_count", min=1), "fail"),
        (check("row_count", max=1), "pass"),
        (check("null_ratio", column="x", max=0.0), "pass"),
        (check("range", column="x", min=0), "pass"),
        (check("allowed_values", column="s", values=["u"]), "pass"),
        (check("unique", columns=["n"]), "pass"),
    ],
)
def test_no_rows_at_all(tmp_path: Path, judged: dict[str, Any], said: str) -> None:
    assert answer(run(tmp_path, judged, rows=[]))[0] == said


def test_infinity_is_a_value_that_json_can_carry(tmp_path: Path) -> None:
    rows = [{**row, "x": float("inf")} for row in ROWS]

    assert answer(run(tmp_path, check("range", column="x", max=5), rows=rows))[1]["highest"] == "inf"


def test_a_warning_does_not_stop(tmp_path: Path) -> None:
    result = run(tmp_path, check("row_count", on_fail="warn", min=5))

    assert (result.status, result.flags, result.reason) == ("ok", {"go": True}, "")
    assert answer(result)[0] == "fail"


def test_every_check_that_stops_is_named_in_the_order_of_the_spec(tmp_path: Path) -> None:
    checks = [
        check("unique", columns=["n"]),
        check("row_count", source="main", min=9),
        check("range", column="x", max=2),
    ]

    result = run(tmp_path, *checks)

    assert (result.status, result.flags) == ("stop", {"go": False})
    assert [found["name"] for found in result.numbers["checks"]] == ["c_unique", "c_row_count", "c_range"]
    assert result.reason.startswith("check c_unique: 1 rows repeat `n`; check c_row_count: 2 rows; at least 9")


def test_a_stop_of_the_snapshot_is_passed_through(tmp_path: Path) -> None:
    kept = services(tmp_path)
    results.store(kept.objects, "a1", "snapshot", Result("stop", {"go": False}, "3 labelled rows"))

    result = run(tmp_path, check("row_count", min=99))

    assert (result.status, result.flags, result.reason) == ("stop", {"go": False}, "3 labelled rows")
    assert result.numbers == {"checks": []}


def test_a_key_that_repeats_fails_the_step(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match=r"source main: 1 values of its key \(id\).*such as a"):
        run(tmp_path, rows=[ROWS[0], ROWS[1], ROWS[2], {**ROWS[3], "row_id": "a"}])


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        (check("range", column="xx", max=1), "check c_range: the joined snapshot has no column `xx`"),
        (check("unique", source="main", columns=["id", "s"]), "check c_unique: source main has no column `s`"),
        (check("range", column="s", max=1), "`s` is string; a range needs numbers"),
        (check("range", column="event_time", max=1), "a range needs numbers"),
        (check("null_ratio", column="d", max=0), "audit column `d` in the holdout only"),
    ],
)
def test_what_a_check_cannot_read(tmp_path: Path, judged: dict[str, Any], said: str) -> None:
    with pytest.raises(StepFailed, match=said):
        run(tmp_path, judged, audit=["d"] if judged["arguments"].get("column") == "d" else [])


def test_the_newest_row_is_the_newest_that_was_known(tmp_path: Path) -> None:
    newest = answer(run(tmp_path, check("freshness", source="main", max_age=0.0)))[1]["newest"]

    assert newest == (at(25)).astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def test_a_row_known_at_the_very_instant_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "NOW", at(25))

    assert answer(run(tmp_path, check("row_count", source="main", min=1)))[1]["rows"] == 2


WIDE: dict[str, pa.DataType] = {**TYPES, "y": pa.int64(), "day": pa.date32(), "flag": pa.bool_()}


def test_conditions_patterns_labels_and_types_are_judged_in_one_run(tmp_path: Path) -> None:
    checks = [
        {**check("sql", expression="x > 0 AND d >= 1.5", tolerate=0.75), "name": "two"},
        {**check("sql", on_fail="warn", expression="CAST(s AS INTEGER) > 0"), "name": "uncomputable"},
        {**check("sql", expression="n IS NULL OR n < 3"), "name": "said"},
        {**check("pattern", column="s", regex="[u-w]"), "name": "whole"},
        {**check("pattern", on_fail="warn", column="s", regex="u|"), "name": "part"},
        {**check("schema", columns={"x": "number", "d": "number", "s": "string", "n": "integer"}), "name": "types"},
        {**check("schema", on_fail="warn", columns={"event_time": "timestamp"}, extra="refuse"), "name": "few"},
        {**check("schema", source="main", columns={"at": "date", "seen": "timestamp"}), "name": "instants"},
    ]

    found = {item["name"]: item for item in run(tmp_path, *checks).numbers["checks"]}

    assert {name: item["answer"] for name, item in found.items()} == {
        "two": "pass",
        "uncomputable": "fail",
        "said": "pass",
        "whole": "pass",
        "part": "fail",
        "types": "pass",
        "few": "fail",
        "instants": "pass",
    }
    assert found["two"]["numbers"]["outside"] == 2
    assert found["uncomputable"]["numbers"]["outside"] == 4
    assert found["part"]["numbers"]["outside"] == 2
    assert found["few"]["numbers"]["extra"] == ["x", "d", "s", "n"]


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        (check("sql", expression="x >"), "check c_sql: the joined snapshot: the expression `x >` cannot be read"),
        (check("sql", expression="xx > 1"), "no column"),
        (check("sql", expression="(select count(*) from read_csv('/etc/passwd')) > 0"), "subquery"),
        (check("pattern", column="s", regex="(?=a)"), "check c_pattern: the joined snapshot: the pattern"),
        (check("pattern", column="x", regex="a"), "a pattern needs texts"),
        (check("pattern", column="ss", regex="a"), "no column `ss`"),
        (check("label_rate", source="main", min=0.1), "no column `y`"),
    ],
)
def test_what_a_condition_a_pattern_or_a_rate_cannot_read(tmp_path: Path, judged: dict[str, Any], said: str) -> None:
    with pytest.raises(StepFailed) as failed:
        run(tmp_path, judged)

    assert said in str(failed.value)


@pytest.mark.parametrize(
    ("window", "rows"),
    [(DAY, 0), (28 * 3600.0, 1), (28 * 3600.0 - 1, 0), (47 * 3600.0, 2), (30 * DAY, 2)],
)
def test_live_rows_are_the_latest_that_were_known(tmp_path: Path, window: float, rows: int) -> None:
    """Events at hours 1, 20 and 46 of 48; the last is not known yet."""
    judged = {**check("row_count", min=0), "over": {"source": "main", "window": window}}

    [found] = run(tmp_path, judged).numbers["checks"]

    assert found["numbers"]["rows"] == rows
    assert found["over"] == {"source": "main", "window": window}


@pytest.mark.parametrize(("counts", "said"), [([4, 4, 5], "pass"), ([9, 9, 9], "fail"), ([4, 4], "not_evaluable")])
@pytest.mark.parametrize("named", [None, "main"])
def test_what_is_usual_comes_from_the_records(tmp_path: Path, counts: list[int], said: str, named: str | None) -> None:
    objects = services(tmp_path).objects
    history = [{"id": f"r{index}", "instant": "2024-01-01T00:00:00Z", "outcome": "held"} for index in range(9)]
    objects.put(results.request_key("a1"), {"history": history})
    for index, count in enumerate(counts):
        earlier = {"kind": "row_count", "source": "main", "numbers": {"rows": count - 2}}
        rows = {"train": count - 2, "valid": 1, "holdout": 1, "rows": 1}
        objects.put(f"records/r{index}.json", {"data": {"rows": rows}, "checks": [earlier]})

    result = run(tmp_path, check("row_count", source=named, usual=0.2))

    assert answer(result)[0] == said
    assert result.flags["go"] is (said != "fail")


def test_label_rates_and_leaks_of_the_joined_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "TYPES", WIDE)
    rows = [{**row, "y": index % 2, "flag": index % 2 == 0} for index, row in enumerate(ROWS)]
    checks = [check("label_rate", min=0.4, max=0.6), check("leakage", on_fail="warn", max_auc=0.9)]

    rate, leak = run(tmp_path, *checks, rows=rows).numbers["checks"]

    assert (rate["answer"], rate["numbers"]["rate"]) == ("pass", 0.5)
    assert (leak["answer"], leak["numbers"]["highest"]) == ("fail", 1.0)


def test_no_rows_have_no_label_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "TYPES", WIDE)
    checks = [check("label_rate", min=0.4), check("leakage", max_auc=0.9), check("sql", expression="x > 0")]

    result = run(tmp_path, *checks, rows=[])

    assert [item["answer"] for item in result.numbers["checks"]] == ["not_evaluable", "not_evaluable", "pass"]
    assert result.flags == {"go": True}


@pytest.mark.parametrize(
    ("judged", "outside"),
    [
        (check("allowed_values", column="s", values=["u"]), 2),
        (check("allowed_values", column="s", values=["u", "v", "w"]), 0),
        (check("pattern", column="s", regex="u|w"), 1),
    ],
)
def test_texts_are_judged_by_value_or_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, judged: dict[str, Any], outside: int
) -> None:
    by_row = run(tmp_path, judged, check("null_ratio", column="s", max=1)).numbers
    asked = []
    counted = row_rules.counted_by_value
    monkeypatch.setattr(row_rules, "counted_by_value", lambda *given: asked.append(given[3]) or counted(*given))
    for few in (1, 3):
        monkeypatch.setattr(row_rules, "FIRST_ROWS", 3)
        monkeypatch.setattr(row_rules, "FEW", few)

        assert run(tmp_path, judged, check("null_ratio", column="s", max=1)).numbers == by_row

    assert asked == [frozenset(), frozenset({0})]
    assert by_row["checks"][0]["numbers"]["outside"] == outside


@pytest.mark.parametrize("room", [0, 1 << 24])
@pytest.mark.parametrize(
    ("values", "columns", "repeated"),
    [
        ([1.0, 2.0, 3.0, 4.0], ["x"], 0),
        ([1.0, 2.0, None, 4.0], ["x"], 0),
        ([None, 2.0, None, 4.0], ["x"], 1),
        ([float("nan"), 2.0, -float("nan"), 4.0], ["x"], 1),
        ([0.0, -0.0, 3.0, 4.0], ["x"], 1),
        ([0.0, -0.0, None, None], ["x", "row_id"], 0),
        ([0.0, 0.0, None, None], ["x", "n"], 1),
    ],
)
def test_rows_repeat_where_their_values_are_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[Any], columns: list[str], repeated: int, room: int
) -> None:
    """Also where no hashes are compared."""
    monkeypatch.setattr(uniqueness, "IN_MEMORY", room)
    rows = [{**row, "x": value} for row, value in zip(ROWS, values, strict=True)]

    [found] = run(tmp_path, check("unique", columns=columns), rows=rows).numbers["checks"]

    assert found["numbers"] == {"rows": 4, "repeated": repeated}


def test_a_warning_about_keys_that_repeat_does_not_let_them_pass(tmp_path: Path) -> None:
    rows = [*ROWS[:3], {**ROWS[3], "row_id": "a"}]
    with pytest.raises(StepFailed, match="1 values of its key"):
        run(tmp_path, check("unique", on_fail="warn", columns=["row_id"]), rows=rows)


def test_what_was_set_aside_is_told_and_stops_nothing(tmp_path: Path) -> None:
    told = {**check("range", on_fail="quarantine", column="x", min=5), "answer": "fail", "reason": "", "numbers": {}}
    del told["arguments"]
    kept = services(tmp_path)
    facts = {"data": {"quarantined": {"rows": 1, "checks": [told]}}}
    results.store(kept.objects, "a1", "snapshot", Result("ok", {"go": True}, "", facts))

    result = run(tmp_path, check("range", on_fail="quarantine", column="x", min=5), check("row_count", min=1))

    assert (result.status, result.numbers["checks"][0]) == ("ok", told)


def test_a_check_that_sets_aside_needs_the_snapshots_answer(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="check c_range: the snapshot left no answer of it"):
        run(tmp_path, check("range", on_fail="quarantine", column="x", min=5))
