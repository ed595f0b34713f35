"""SQL conditions of a spec: what holds for a row, and what is no condition on one."""

from __future__ import annotations

from pathlib import Path

import pytest

from ctc.steps.conditions import require_condition
from ctc.steps.task import StepFailed

TYPES = {
    "a": "BIGINT",
    "b": "DOUBLE",
    "s": "VARCHAR",
    "flag": "BOOLEAN",
    "ts": "TIMESTAMP WITH TIME ZONE",
    "odd name": "DATE",
    'quo"te': "DECIMAL(10,2)",
    "tags": "VARCHAR[]",
}


@pytest.mark.parametrize(
    "expression",
    [
        "a > 0", "flag", "NOT flag", "a = nullif(b, 0)", "coalesce(a, 0) >= 0 AND b < 1", "a IN (1, 2)",
        "s LIKE 'x%'", "s SIMILAR TO '[a-z]+'", "a BETWEEN 1 AND 2", "CASE WHEN a > 1 THEN true ELSE false END",
        "extract(year FROM ts) > 2000", "ts >= TIMESTAMPTZ '2024-01-01 00:00:00Z'", "ts < ts + INTERVAL 1 DAY",
        "\"odd name\" > DATE '2020-01-01'", '"quo""te" > 0', "a IS DISTINCT FROM b", "s = 'drop table; --'",
        "s IS NULL OR length(s) > 2", "CAST(s AS INTEGER) > 0", "(a > 0) OR (b > 0)", "least(a, b) > 0",
        "list_contains(tags, 'x')", "a > 1 -- said so", "lower(s) = 'x'",
    ],
)  # fmt: skip
def test_a_condition_on_a_row_is_taken(expression: str) -> None:
    require_condition(expression, TYPES, "check c")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("(select count(*) from read_csv('/etc/passwd')) > 0", "subquery"),
        ("EXISTS (SELECT 1)", "subquery"),
        ("a > ANY ([1, 2])", "subquery"),
        ("a IN (SELECT 1)", "subquery"),
        ("1=1); drop table x; --", "cannot be read"),
        ("1=1); drop table x; select (1=1", "cannot be read"),
        ("1=1) LIMIT (1", "more than one condition"),
        ("a > 0), (b > 0", "more than one condition"),
        ("1=1) FROM read_csv('/etc/passwd') WHERE (1=1", "more than one condition"),
        ("1=1) FROM '/etc/passwd' --", "cannot be read"),
        ("1=1) UNION SELECT (1=1", "more than one condition"),
        ("a > 0) AS x, (1", "more than one condition"),
        ("count(*) > 1", "of many rows"),
        ("a > avg(a)", "of many rows"),
        ("row_number() OVER () > 1", "window"),
        ("COLUMNS(*) > 1", "star"),
        ("$1 > 1", "more than one condition"),
        ("random() > 0.5", "not depend on the row alone"),
        ("current_localtimestamp() > TIMESTAMP '2024-01-01'", "not depend on the row alone"),
        ("age(TIMESTAMP '2024-01-01') > INTERVAL 1 DAY", "not depend on the row alone"),
        ("TIMESTAMP '2024-01-01' < ' Now '::TIMESTAMP", "an instant of the clock"),
        ("DATE '2024-01-01' < 'today'", "an instant of the clock"),
        ("ts < now()", "not depend on the row alone"),
        ("ts < current_timestamp", "no column"),
        ("ago(INTERVAL 1 DAY) > ts", "not depend on the row alone"),
        ("current_setting('temp_directory') = 'x'", "not depend on the row alone"),
        ("pg_get_viewdef(1) = 'x'", "not depend on the row alone"),
        ("getenv('HOME') = 'x'", "no function"),
        ("read_text('/etc/passwd') = 'x'", "not depend on the row alone"),
        ("json_serialize_plan('select 1') = 'x'", "not depend on the row alone"),
        ("nowhere > 1", "no column"),
        ("other.a > 1", "no column"),
        ("a.b > 1", "does not fit the columns"),
        ("a + 1", "is BIGINT, not a condition"),
        ("NULL", "not a condition"),
        ("a, b", "not a condition"),
        ("", "not a condition"),
        ("a >", "cannot be read"),
        ("/* a > 1", "cannot be read"),
    ],
)
def test_what_is_no_condition_on_a_row_is_refused(expression: str, said: str) -> None:
    with pytest.raises(StepFailed, match="check c: the expression") as failed:
        require_condition(expression, TYPES, "check c")

    assert said in str(failed.value)


def test_nothing_is_written_by_a_refused_condition(tmp_path: Path) -> None:
    with pytest.raises(StepFailed):
        require_condition(f"1=1); COPY (SELECT 1) TO '{tmp_path}/x'; SELECT (1=1", TYPES, "check c")

    assert list(tmp_path.iterdir()) == []
