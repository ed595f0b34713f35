"""Which keys a share draws, against the definition written out, in Python and in the engine."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from step_tables import INSTANT, START, store

from ctc.policy.draws import below, drawn
from ctc.steps import engine, holdouts
from ctc.steps.task import StepFailed

pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

keys = st.lists(st.text(max_size=8), min_size=1, max_size=3)
shares = st.floats(0, 1, allow_nan=False)


def by_definition(salt: str, key: list[str], share: float) -> bool:
    """MD5 as hex digits, the last eight bytes from the last to the first, as a part of 2^64."""
    text = hashlib.md5("\x1f".join([salt, *key]).encode(), usedforsecurity=False).hexdigest()
    last = [text[start : start + 2] for start in range(30, 14, -2)]
    return int("".join(last), 16) / 2**64 < share


@pytest.mark.parametrize(("salt", "key", "drawn_at_half"), [("", ["abc"], False), ("", ["c"], True)])
def test_known_keys(salt: str, key: list[str], drawn_at_half: bool) -> None:
    assert drawn(salt, key, 0.5) is drawn_at_half


@given(st.text(max_size=4), keys, st.integers(0, 1000).map(lambda n: n / 1000))
def test_the_draw_is_its_definition(salt: str, key: list[str], share: float) -> None:
    assert drawn(salt, key, share) is by_definition(salt, key, share)


@given(st.text(max_size=4), keys, shares, shares)
def test_a_larger_share_draws_what_a_smaller_one_draws(salt: str, key: list[str], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert drawn(salt, key, high) or not drawn(salt, key, low)


def test_a_share_is_drawn_exactly() -> None:
    assert (below(0.0), below(0.5), below(1.0)) == (0, 2**63, 2**64)
    found = sum(drawn("s", [str(index)], 0.1) for index in range(20_000))
    assert 1850 < found < 2150  # 3.5 standard deviations of 20,000 draws at one in ten


def test_salts_draw_apart() -> None:
    """Among the keys that one salt draws, another salt draws its share again."""
    both = [index for index in range(20_000) if drawn("a", [str(index)], 0.5) and drawn("b", [str(index)], 0.5)]
    assert 4700 < len(both) < 5300


COLUMNS = {
    "text": pa.string(),
    "whole": pa.int32(),
    "yes": pa.bool_(),
    "day": pa.date32(),
    "instant": INSTANT,
}
values = st.fixed_dictionaries(
    {
        "text": st.one_of(st.none(), st.text(max_size=6)),
        "whole": st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
        "yes": st.one_of(st.none(), st.booleans()),
        "day": st.one_of(st.none(), st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1))),
        "instant": st.one_of(
            st.none(), st.integers(-(10**15), 4 * 10**15).map(lambda n: START + dt.timedelta(microseconds=n))
        ),
    }
)


def as_text(value: Any) -> str:
    match value:
        case None:
            return "\\N"
        case bool():
            return "true" if value else "false"
        case dt.datetime():
            return str((value - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1))
        case dt.date():
            return value.isoformat()
        case _:
            return str(value)


@settings(max_examples=15, deadline=None, derandomize=True, database=None)
@given(rows=st.lists(values, min_size=1, max_size=20), salt=st.text(max_size=3), share=st.sampled_from([0.1, 0.5, 0.9]))
def test_the_engine_draws_what_the_rule_draws(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], salt: str, share: float
) -> None:
    file = store(tmp_path_factory.mktemp("draw") / "rows.parquet", COLUMNS, rows)
    with engine.opened() as connection:
        table = connection.read_parquet(file)
        found = engine.fetched(connection, table.select(held=holdouts.drawn(table, list(COLUMNS), share, salt, "here")))

    assert found["held"] == [drawn(salt, [as_text(row[name]) for name in COLUMNS], share) for row in rows]


def test_a_key_of_fractions_is_refused(tmp_path: Path) -> None:
    file = store(tmp_path / "rows.parquet", {"x": pa.float64()}, [{"x": 0.1}])
    with engine.opened() as connection:
        table = connection.read_parquet(file)
        with pytest.raises(StepFailed, match="here: `x` is float64; a key is of texts, whole numbers, truth values,"):
            holdouts.drawn(table, ["x"], 0.5, "", "here")
