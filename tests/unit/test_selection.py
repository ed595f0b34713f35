"""The rows that a strategy learns, taken by the step `snapshot` from tables on disk."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from step_tables import HOUR, INSTANT, START, at, columns, data, load, services, source, store, task, windows

from ctc.policy.strategy import Plan
from ctc.policy.windows import Windows, format_instant
from ctc.steps import engine, selection, snapshot
from ctc.steps.holdouts import HELD
from ctc.steps.task import Result

pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

NOW = at(500)
COLUMNS = {"id": pa.int64(), "at": INSTANT, "x": pa.string(), "y": pa.int64()}


def run(folder: Path, trained_until: float | None, csv: bool = False, **more: Any) -> Result:
    """A row an hour from START on; the champion has learnt up to an hour, or there is none."""
    rows = [{"id": hour, "at": at(hour), "x": f'a,"{hour}', "y": hour % 2} for hour in range(500)]
    path = store(folder / "main.parquet", COLUMNS, rows)
    sources = {"main": source("rows", path, event_time="at", key=["id"])}
    described = data(sources, label={"source": "main", "column": "y", "known_after": 4 * HOUR})
    section = windows(window=200 * HOUR, validation_share=0.0, **{"replay": 0.0, "full_every": None, **more})
    given = services(folder)
    champion = None
    if trained_until is not None:
        champion = {"trained_until": format_instant(at(trained_until)), "full_at": format_instant(START)}
    given.objects.put("attempts/a1/request/request.json", {"champion": champion, "launch": 1})
    todo = task("snapshot", folder, NOW, data=described, windows=section, format={"csv": {"delimiter": ";"}})
    if csv:
        outputs = {**todo.outputs, **{f"csv_{name}": folder / "out" / f"csv_{name}" for name in ("train", "rows")}}
        todo = type(todo)(todo.step, todo.document, todo.instant, todo.attempt, outputs=outputs)
    return snapshot.run(todo, given)


def learnt(folder: Path) -> list[int]:
    return [row["id"] for row in load(folder / "out" / "train")]


def test_full_learns_its_window(tmp_path: Path) -> None:
    result = run(tmp_path, 450, strategy="full")

    assert learnt(tmp_path) == list(range(286, 486))
    assert result.numbers["data"]["strategy"] == "full"
    assert (result.numbers["data"]["new_rows"], result.numbers["data"]["replayed_rows"]) == (200, 0)


def test_incremental_learns_what_the_champion_has_not(tmp_path: Path) -> None:
    result = run(tmp_path, 450, strategy="incremental", full_every=1000 * HOUR)

    assert learnt(tmp_path) == list(range(450, 486))
    assert result.numbers["windows"]["train_start"] == format_instant(at(450))
    assert [row["id"] for row in load(tmp_path / "out" / "holdout")] == list(range(486, 496))


def test_full_every_learns_the_window_again(tmp_path: Path) -> None:
    result = run(tmp_path, 450, strategy="incremental", full_every=500 * HOUR)

    assert learnt(tmp_path) == list(range(286, 486))
    assert result.numbers["data"]["strategy"] == "full"
    assert "full_every" in result.numbers["data"]["strategy_reason"]


def test_fine_tuning_replays_the_share_of_old_rows_that_a_hash_draws(tmp_path: Path) -> None:
    result = run(tmp_path, 450, strategy="fine_tune", replay=0.3)
    salt = at(450).isoformat()

    def drawn(number: int) -> bool:
        digest = hashlib.md5(f"{number}|{salt}".encode(), usedforsecurity=False).digest()
        return float(int.from_bytes(digest[8:], "little")) < 0.3 * 2**64

    replayed = [number for number in range(286, 450) if drawn(number)]
    assert learnt(tmp_path) == [*replayed, *range(450, 486)]
    assert 20 < len(replayed) < 80
    facts = result.numbers["data"]
    assert (facts["strategy"], facts["new_rows"], facts["replayed_rows"]) == ("fine_tune", 36, len(replayed))
    assert facts["rows"]["train"] == 36 + len(replayed)


def test_replayed_rows_are_not_enough_to_learn_from(tmp_path: Path) -> None:
    result = run(tmp_path, 480, strategy="fine_tune", replay=1.0, min_rows=7)

    assert result.status == "stop"
    assert result.reason == "6 new labelled rows to learn from; at least 7 are needed"
    assert result.numbers["data"]["rows"]["train"] == 200


def test_csv_is_what_the_users_code_reads(tmp_path: Path) -> None:
    run(tmp_path, None, csv=True, strategy="full")
    lines = (tmp_path / "out" / "csv_rows" / "data.csv").read_text().splitlines()

    assert lines[0] == "id;at;x;row_id;event_time"
    assert lines[1] == '486;2024-01-21T06:00:00.000000Z;"a,""486";486;2024-01-21T06:00:00.000000Z'
    assert (tmp_path / "out" / "csv_train" / "data.csv").read_text().splitlines()[0].split(";")[3] == "y"
    assert load(tmp_path / "out" / "rows")[0]["id"] == 486


def test_the_record_says_which_columns_predict_is_given(tmp_path: Path) -> None:
    schema = run(tmp_path, None, strategy="full").numbers["data"]["inputs_schema"]

    assert list(schema) == columns(tmp_path / "out" / "rows") == ["id", "at", "x", "row_id", "event_time"]
    assert (schema["id"], schema["x"]) == ("int64", "string")


@settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(share=st.floats(0.01, 1), more=st.floats(0, 1), start=st.integers(1, 999))
def test_a_larger_share_replays_the_same_rows_and_more(share: float, more: float, start: int) -> None:
    """And every new row is learnt whatever the share; about as many are replayed as it says."""
    with engine.opened() as connection:
        connection.raw_sql(
            "CREATE TEMP TABLE hours AS SELECT i::VARCHAR AS row_id, "
            "TIMESTAMPTZ '2024-01-01 00:00:00+00' + INTERVAL (i) HOUR AS event_time, "
            f"false AS {HELD} FROM range(1000) t(i)"
        )
        small, large = (drawn(connection, part, start) for part in (share, share + more * (1 - share)))
    new = set(range(start, 1000))
    assert new <= small <= large <= set(range(1000))
    spread = 6 * (share * (1 - share) * start) ** 0.5 + 1
    assert abs(len(small - new) - share * start) <= spread


def drawn(connection: Any, share: float, start: int) -> set[int]:
    windows = Windows(at(1000), at(start), at(1000), at(1000), at(1000))
    rows = selection.kept(connection.table("hours"), Plan("fine_tune", windows, "", at(0), share))
    return {int(row[0]) for row in connection.con.sql(connection.compile(rows)).fetchall()}
