"""Rows that are set aside before training and holdout are made of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from step_tables import INSTANT, at, data, load, services, source, store, task, windows

from ctc.steps import quarantine, snapshot
from ctc.steps.task import Result, StepFailed

pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

MAIN = {"id": pa.int64(), "at": INSTANT, "x": pa.float64(), "s": pa.string(), "secret": pa.string()}
LABELS = {"id": pa.int64(), "known": INSTANT, "y": pa.int64()}
SECTION = windows(validation_share=0.0)
ROWS = 20
"""Two thirds of them in training."""


def check(name: str, kind: str, on_fail: str = "quarantine", **arguments: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, "source": None, "over": None, "on_fail": on_fail, "arguments": arguments}


def run(folder: Path, *checks: dict[str, Any], rows: list[dict[str, Any]] | None = None, **section: Any) -> Result:
    """The snapshot of rows 0 to 19 with x = 0 to 19, one an hour and a half from the start of training on."""
    given = [{}] * ROWS if rows is None else rows
    main = [
        {"id": i, "at": at(14 + 1.5 * i), "x": float(i), "s": "u", "secret": "z"} | more for i, more in enumerate(given)
    ]
    labels = [{"id": row["id"], "known": row["at"], "y": row["id"] % 2} for row in main]
    sources = {
        "main": source("rows", store(folder / "main.parquet", MAIN, main), event_time="at", key=["id"]),
        "labels": source("labels", store(folder / "labels.parquet", LABELS, labels), known_at="known", join=["id"]),
    }
    step = task(
        "snapshot",
        folder,
        at(48),
        data=data(sources, audit=["secret"]),
        windows=SECTION | section,
        validation={"checks": list(checks)},
    )
    result = snapshot.run(step, services(folder))
    json.dumps(result.numbers, allow_nan=False)
    return result


def ids(folder: Path, *parts: str) -> list[int]:
    return sorted(row["id"] for part in parts for row in load(folder / "out" / part))


def test_offending_rows_are_in_no_part_and_are_kept_with_their_checks(tmp_path: Path) -> None:
    rows = [{"s": "bad" if i in (3, 19) else "u", "x": None if i == 4 else float(i)} for i in range(ROWS)]

    result = run(
        tmp_path,
        check("high", "range", column="x", max=17),
        check("said", "pattern", column="s", regex="u"),
        check("there", "null_ratio", column="x", max=0.5),
        check("warned", "range", "warn", column="x", max=1),
        rows=rows,
    )

    everything = set(range(ROWS))
    assert set(ids(tmp_path, "train", "valid", "holdout")) == everything - {3, 18, 19}
    assert ids(tmp_path, "rows") == ids(tmp_path, "holdout")
    kept = load(tmp_path / "out" / "quarantine")
    assert {row["id"]: row[quarantine.CHECKS] for row in kept} == {3: "said", 18: "high", 19: "high,said"}
    facts = result.numbers["data"]
    assert facts["quarantined"]["rows"] == 3
    assert facts["rows"]["train"] + facts["rows"]["valid"] + facts["rows"]["holdout"] == ROWS - 3
    assert [(item["name"], item["answer"]) for item in facts["quarantined"]["checks"]] == [
        ("high", "fail"),
        ("said", "fail"),
        ("there", "pass"),
    ]
    assert facts["quarantined"]["checks"][0]["numbers"]["rows"] == ROWS


@pytest.mark.parametrize(
    ("judged", "gone"),
    [
        (check("c", "range", column="x", min=2), {0, 1}),
        (check("c", "range", column="x", min=2, tolerate=0.1), set()),
        (check("c", "allowed_values", column="x", values=list(range(1, ROWS))), {0}),
        (check("c", "sql", expression="x <> 5 AND s = 'u'"), {5}),
        (check("c", "sql", expression="NULLIF(x, 7) >= 0"), {7}),
        (check("c", "null_ratio", column="x", max=0), set()),
        (check("c", "sql", expression="y >= 0"), set()),
    ],
)
def test_what_is_tolerated_stays(tmp_path: Path, judged: dict[str, Any], gone: set[int]) -> None:
    result = run(tmp_path, judged)

    assert set(ids(tmp_path, "train", "valid", "holdout")) == set(range(ROWS)) - gone
    assert ids(tmp_path, "quarantine") == sorted(gone)
    assert result.numbers["data"]["quarantined"]["rows"] == len(gone)
    assert quarantine.answers({"numbers": result.numbers})["c"]["answer"] == ("fail" if gone else "pass")


def test_without_such_checks_nothing_is_set_aside_or_written(tmp_path: Path) -> None:
    result = run(tmp_path, check("c", "range", "stop", column="x", max=0))

    assert "quarantined" not in result.numbers["data"]
    assert not (tmp_path / "out" / "quarantine").exists()


def test_too_many_rows_set_aside_stop_the_attempt(tmp_path: Path) -> None:
    result = run(tmp_path, check("c", "range", column="x", max=3), min_rows=8)

    assert (result.status, result.flags) == ("stop", {"go": False})
    assert result.reason.startswith("4 labelled rows to learn from; at least 8")
    assert quarantine.answers({"numbers": result.numbers})["c"]["answer"] == "fail"


def test_all_rows_set_aside_stop_the_attempt(tmp_path: Path) -> None:
    assert run(tmp_path, check("c", "range", column="x", max=-1)).status == "stop"


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        (check("c", "range", column="xx", max=1), "check c: the joined snapshot has no column `xx`"),
        (check("c", "range", column="secret", max=1), "audit column `secret`"),
        (check("c", "sql", expression="count(*) > 1"), "of many rows"),
    ],
)
def test_what_cannot_be_judged_fails_the_step(tmp_path: Path, judged: dict[str, Any], said: str) -> None:
    with pytest.raises(StepFailed, match="check c: the joined snapshot") as failed:
        run(tmp_path, judged)

    assert said in str(failed.value)
