"""The checks drift and skew: baselines, rows that are judged, and what cannot be evaluated."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from step_tables import DAY, HOUR, INSTANT, at, data, services, source, store, task

from ctc.policy.profile import Profile, of_numbers
from ctc.steps import baselines, results, validate
from ctc.steps.task import Result, StepFailed

# ibis still calls what DuckDB 2 renamed.
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

NOW = at(400)
YEAR = dt.timedelta(days=365)
SNAPSHOT = {"row_id": pa.string(), "event_time": INSTANT, "x": pa.float64(), "s": pa.string()}
MAIN = {"id": pa.string(), "at": INSTANT, "seen": INSTANT, "x": pa.float64(), "s": pa.string()}
SERVED = {"rid": pa.string(), "when": INSTANT, "x": pa.float64(), "p": pa.float64(), "v": pa.string()}
NAMES = {"key": "rid", "score": "p", "model_version": "v", "event_time": "when"}


def check(kind: str, source: str | None = None, over: Any = None, **arguments: Any) -> dict[str, Any]:
    given = {"columns": ["x"], "method": "ks", "max": 0.2, **arguments}
    common = {"name": "it", "kind": kind, "source": source, "on_fail": "stop", "arguments": given}
    return common if over is None else {**common, "over": over}


def run(
    folder: Path, given: dict[str, Any], baselines_: dict[str, str | None] | None = None, served: float | None = 0.0
) -> Result:
    """300 hourly rows with x from 0 to 9; a year before x was 5 higher. Served rows are `served` higher, if any."""
    rows = [{"row_id": str(n), "event_time": at(n), "x": float(n % 10), "s": "ab"[n % 2]} for n in range(300)]
    for name, part in {"train": rows[:200], "valid": rows[200:230], "holdout": rows[230:]}.items():
        store(folder / name / "data.parquet", SNAPSHOT, part)
    main = [{"id": row["row_id"], "at": row["event_time"], "x": row["x"], "s": row["s"]} for row in rows]
    main += [{"id": f"b{row['id']}", "at": row["at"] - YEAR, "x": row["x"] + 5, "s": row["s"]} for row in main]
    higher = served or 0.0
    answered = [
        {"rid": row["id"], "when": row["at"], "x": row["x"] + higher, "p": 0.5, "v": "1"} for row in main if higher >= 0
    ]
    absent = str(folder / "absent.parquet")
    sources = {
        "main": source(
            "rows",
            store(folder / "main.parquet", MAIN, [{**row, "seen": row["at"]} for row in main]),
            event_time="at",
            known_at="seen",
            key=["id"],
        ),
        "served": source(
            "predictions",
            absent if served is None else store(folder / "served.parquet", SERVED, answered),
            event_time="when",
            key=["rid"],
            columns=NAMES,
        ),
    }
    kept = services(folder)
    if baselines_ is not None:
        kept.objects.put(results.request_key("a1"), {"launch": 1, "baselines": baselines_})
    same, raised = (Profile({"x": of_numbers([n % 10 + up for n in range(200)])}) for up in (0, 5))
    kept.objects.put(baselines.training_key("same"), same.to_json())
    kept.objects.put(baselines.training_key("higher"), raised.to_json())
    parts = {name: folder / name for name in ("train", "valid", "holdout")}
    step = task("validate", folder, NOW, parts, data=data(sources), validation={"checks": [given]})
    return validate.run(step, kept)


def answer(result: Result) -> tuple[str, str]:
    json.dumps(result.numbers, allow_nan=False)
    [found] = result.numbers["checks"]
    assert result.flags["go"] is (found["answer"] != "fail")
    return found["answer"], found["reason"]


@pytest.mark.parametrize(
    ("given", "told", "expected", "reason"),
    [
        (check("drift"), {"champion": "same", "fixed": "higher"}, "pass", "ks of `x` is 0 against 0.2"),
        (check("drift", baseline="fixed"), {"champion": "same", "fixed": "higher"}, "fail", "ks of `x` is 0.5"),
        (check("drift", baseline="season"), None, "fail", "ks of `x` is 0.5"),
        (check("drift", baseline="season", columns=["s"], method="psi"), None, "pass", "psi of `s` is 0"),
        (check("drift", "main"), {"champion": "same"}, "fail", "ks of `x` is 0.25"),
        (check("drift", over={"source": "main", "window": 10 * DAY}), {"champion": "same"}, "pass", "ks of `x` is 0"),
        (check("drift"), None, "not_evaluable", "there is no champion yet"),
        (check("drift", baseline="fixed"), {"champion": "same", "fixed": None}, "not_evaluable", "no champion yet"),
        (check("drift"), {"champion": "gone"}, "not_evaluable", "attempt gone has left no profile"),
        (
            check("drift", columns=["s"]),
            {"champion": "same"},
            "not_evaluable",
            "record of attempt same has no training",
        ),
        (
            check("drift", over={"source": "main", "window": 150 * HOUR}),
            {"champion": "same"},
            "not_evaluable",
            "`x`: 50 rows in the window; at least 100 are asked for",
        ),
    ],
)
def test_the_snapshot_is_compared_with_its_baseline(
    tmp_path: Path, given: dict[str, Any], told: dict[str, str | None] | None, expected: str, reason: str
) -> None:
    found = answer(run(tmp_path, given, told))
    assert found[0] == expected
    assert reason in found[1]


@pytest.mark.parametrize(
    ("served", "expected", "reason"),
    [
        (0.0, "pass", "ks of `x` is 0 against 0.2"),
        (3.0, "fail", "ks of `x` is 0.3 against 0.2"),
        (-1.0, "not_evaluable", "source served has no row of the snapshot's time"),
    ],
)
def test_what_was_served_is_compared_with_the_snapshot(
    tmp_path: Path, served: float, expected: str, reason: str
) -> None:
    found = answer(run(tmp_path, check("skew", source=None) | {"arguments": skew("x")}, served=served))
    assert found[0] == expected
    assert reason in found[1]


def test_before_the_first_champion_nobody_has_served_anything(tmp_path: Path) -> None:
    asked = check("skew", source=None) | {"arguments": skew("x")}
    found = answer(run(tmp_path / "first", asked, served=None))
    assert found[0] == "not_evaluable"
    assert "nobody has served anything yet: source served: there is no file" in found[1]
    with pytest.raises(StepFailed, match="source served: there is no file"):
        run(tmp_path / "later", asked, {"champion": "same"}, served=None)


def skew(column: str) -> dict[str, Any]:
    return {"source": "served", "columns": [column], "method": "ks", "max": 0.2}


def test_a_column_that_was_not_served_fails_the_step(tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="source served has no column `s`"):
        run(tmp_path, check("skew") | {"arguments": skew("s")})


def test_a_request_without_baselines_tells_the_champion(tmp_path: Path) -> None:
    kept = services(tmp_path)
    kept.objects.put(results.request_key("a1"), {"launch": 1, "champion": {"attempt": "same"}})
    assert answer(run(tmp_path, check("drift")))[0] == "pass"
