"""Sources and data checks: which can be read, and which can go both ways. Patterns and conditions against DuckDB."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from changed_spec import SERVED, SERVER, findings

from ctc.language.checks.expressions import names_in, pattern_problem, sql_problem

CLASSICS = 'sources: {classics: {role: holdout, parquet: {path: "s3://acme-delivery/classics/"}}}'


def checks(text: str) -> str:
    return f"validation: {{checks: {text}}}"


def places(code: str, *changes: str, target: str | None = None) -> list[str]:
    return [item.path for item in findings(code, *changes, target=target)]


@pytest.mark.parametrize(
    "regex",
    [
        "[A-Z]{3}-[0-9]+", r"\d+", "(?i)abc", r"\p{Greek}+", r"\pL", "[[:alpha:]]+", r"\Qa.b\E", r"\\1", "[(?=]x",
        r"\(?=a", "a(?i)b", "a{1,1000}", r"\++", "[+]+", "^.+$", r"\x{10FFFF}", "[a-z]{2,}", "(?P<n>a)", "(?s:.)",
        "(a|b)*c", r"[^\]]+", "[]a]+", r"\z", "",
    ],
)  # fmt: skip
def test_what_re2_reads_is_no_problem(regex: str) -> None:
    duckdb.sql("select regexp_full_match('x', $1)", params=[regex]).fetchall()

    assert pattern_problem(regex) is None


@pytest.mark.parametrize(
    "regex",
    [
        "(?!XX)[A-Z]+", "(?=a)b", "(?<=a)b", "(?<!a)b", r"([A-Z])\1", r"(?P<a>x)(?P=a)", r"(?P<n>x)\k<n>", "(?>a)",
        "a++", "x*+", "a{1,2}+", "(?#x)a", "a{1001}", "a{2,1001}", "(", "[A-Z", "*", "a)", "x{3,2}",
    ],
)  # fmt: skip
def test_what_re2_refuses_is_a_problem(regex: str) -> None:
    with pytest.raises(duckdb.Error):
        duckdb.sql("select regexp_full_match('x', $1)", params=[regex]).fetchall()

    assert pattern_problem(regex) is not None


TABLE = "select 1 as a, 2 as b, 'x' as s, true as is_paid, 3 as load, 4 as \"limit\", timestamp '2024-01-01' as ts"


@pytest.mark.parametrize(
    "expression",
    [
        "a >= b", "load <= 100", "load between 0 and 5", "is_paid", "NOT is_paid", "a is distinct from b",
        "extract(year from ts) > 2000", "s = 'a;b--c'", '"limit" > 3', "case when a > 1 then true else false end",
        "coalesce(a, 0) > 1", "a in (1, 2)", "s like '%x%'", "starts_with(s, 'b')", "a = nullif(b, 0)", "s = 'it''s'",
        "least(a, b) > 0", "s is not null and a > 0", "s = 'select'",
    ],
)  # fmt: skip
def test_a_condition_is_no_problem(expression: str) -> None:
    [kind] = duckdb.sql(f"select ({expression}) as c from ({TABLE})").types

    assert str(kind) == "BOOLEAN"
    assert sql_problem(expression) is None


@pytest.mark.parametrize(
    ("expression", "word"),
    [
        ("a > 0; drop table t", "`;`"),
        ("drop table t", "DROP"),
        ("a in (select b from t)", "SELECT"),
        ("with x as (select 1) select 2", "WITH"),
        ("set x = 1", "SET"),
        ("a > 0 union all b", "UNION"),
        ("a > 0 group  by b", "GROUP BY"),
        ("a > 0 -- really", "comment"),
        ("a /* x */ > 0", "comment"),
        ("s = 'x", "quotation"),
        ('"s = 1', "quotation"),
        ("(a > 1", "parenthesis"),
        ("avg(a) < 3", "`avg`"),
        ("a = NULL", "NULL"),
        ("a <> null", "NULL"),
        ("a > 1 && b > 1", "`&&`"),
        ("a + 1", "value"),
        ("1", "value"),
    ],
)
def test_what_is_no_condition_is_said(expression: str, word: str) -> None:
    problem = sql_problem(expression)

    assert problem is not None
    assert word in problem[0]


def test_the_columns_of_a_condition_are_those_outside_its_texts() -> None:
    assert names_in("note = 'weight' AND \"net weight\" > depot.limit") == {
        "note",
        "AND",
        "net weight",
        "depot",
        "limit",
    }


@pytest.mark.parametrize(
    ("role", "given", "code"),
    [
        ("features", "{known_at: at, join: {to: parcels, key: [x]}}", ""),
        ("features", "{event_time: at, join: {to: parcels, key: [x]}}", ""),
        ("features", "{join: {to: parcels, key: [x]}}", "CT205"),
        ("features", "{event_time: none, join: {to: parcels, key: [x]}}", "CT205"),
        ("features", "{known_at: at}", "CT203"),
        ("features", "{known_at: at, join: {to: arrivals, key: [x]}}", "CT204"),
        ("holdout", "{}", ""),
        ("holdout", "{join: {to: parcels, key: [x]}}", "CT203"),
        ("holdout", "{columns: {key: a, score: b, model_version: c, event_time: d}}", "CT216"),
        ("predictions", "{columns: {key: a, score: b, model_version: c, event_time: d}}", ""),
        ("predictions", "{columns: {key: a, score: a, model_version: c, event_time: d}}", "CT216"),
        ("predictions", "{}", "CT216"),
        ("predictions", "{columns: {key: a, score: b, model_version: c, event_time: d}, join: {to: parcels, key: [x]}}",
         "CT203"),
    ],
)  # fmt: skip
def test_each_role_has_its_keys(role: str, given: str, code: str) -> None:
    base = f"sources: {{other: {{role: {role}, parquet: {{path: x}}}}}}"
    change = f"sources: {{other: {given}}}"

    found = [each for each in ("CT203", "CT204", "CT205", "CT216") if findings(each, base, change)]

    assert found == ([code] if code else [])


def test_features_of_rows_without_time_need_not_say_when_they_were_known() -> None:
    silent = "sources: {other: {role: features, parquet: {path: x}, join: {to: parcels, key: [x]}}}"

    assert findings("CT205", silent)
    assert not findings("CT205", silent, "sources: {parcels: {event_time: none}}")


@pytest.mark.parametrize(
    ("by", "wrong"), [("api", False), ("nightly", True), ("app", True)], ids=["server", "batch", "nothing"]
)
def test_captured_rows_come_from_a_server(by: str, wrong: bool) -> None:
    batch = 'serving: {nightly: {batch: {rows: parcels, out: x, schedule: {cron: "0 5 * * *", timezone: UTC}}}}'
    change = SERVED.replace('parquet: {path: "s3://acme-delivery/served/"}', f"captured: {{by: {by}}}")

    assert bool(findings("CT215", SERVER, batch, change)) is wrong


@pytest.mark.parametrize(
    ("path", "keep", "wrong"),
    [
        ("s3://acme-delivery/classics/", "{}", False),
        ("s3://acme-delivery/parcels/", "{}", True),
        ("s3://acme-delivery/parcels", "{}", True),
        ("s3://acme-delivery/parcels/*.parquet", "{}", True),
        ("s3://acme-delivery/parcels/", "{split: {allowed_values: {column: split, values: [train]}}}", False),
    ],
)
def test_a_fixed_table_is_not_learnt_from(path: str, keep: str, wrong: bool) -> None:
    rows = "" if keep == "{}" else f"sources: {{parcels: {{keep: {keep}}}}}"
    change = f"sources: {{classics: {{role: holdout, parquet: {{path: '{path}'}}}}}}"

    assert bool(findings("CT217", change, rows)) is wrong


def test_labels_and_answers_may_stand_in_the_files_of_the_rows() -> None:
    same = 'parquet: {path: "s3://acme-delivery/parcels/"}'

    assert findings("CT217", f"sources: {{arrivals: {{{same}}}}}", SERVED, f"sources: {{served: {{{same}}}}}") == []


@pytest.mark.parametrize(
    ("label", "keep_of", "wrong"),
    [
        ("{source: arrivals, absent: drop}", "arrivals", True),
        ("{source: arrivals, absent: negative}", "arrivals", False),
        ("{source: arrivals, absent: drop}", "parcels", False),
        ("{source: parcels, absent: negative}", "parcels", True),
    ],
)
def test_rows_are_not_chosen_by_their_label(label: str, keep_of: str, wrong: bool) -> None:
    keep = f"sources: {{{keep_of}: {{keep: {{there: {{present: {{columns: [late]}}}}}}}}}}"

    assert bool(findings("CT218", f"label: {label}", keep)) is wrong


def test_only_what_is_looked_up_in_the_past_must_be_replayable() -> None:
    change = "sources: {parcels: {replayable: false}, arrivals: {replayable: false}}"
    served = SERVED.replace("role:", "replayable: false\n    role:")

    assert places("CT219", change, served) == ["sources.parcels.replayable", "sources.arrivals.replayable"]
    assert places("CT219", served) == []


@pytest.mark.parametrize(
    ("check", "code"),
    [
        ("{row_count: {min: 0}}", "CT238"),
        ("{row_count: {min: 1}}", ""),
        ("{row_count: {usual: 20%}}", ""),
        ("{row_count: {min: 5, max: 4}}", "CT212"),
        ("{null_ratio: {column: w, max: 100%}}", "CT238"),
        ("{null_ratio: {column: w, max: 99%}}", ""),
        ("{null_ratio: {column: w, max: 0}}", ""),
        ("{range: {column: w, min: 0, tolerate: 1}}", "CT238"),
        ("{range: {column: w, min: 0, tolerate: 0.999}}", ""),
        ("{range: {column: w, min: 2, max: 1}}", "CT212"),
        ("{range: {column: w, min: 1, max: 1}}", ""),
        ("{pattern: {column: w, regex: '.*'}}", "CT238"),
        ("{pattern: {column: w, regex: '.+'}}", ""),
        ("{pattern: {column: w, regex: '(?!x)'}}", "CT233"),
        ("{sql: {expression: 'w > 0', tolerate: 100%}}", "CT238"),
        ("{sql: {expression: 'w; x'}}", "CT234"),
        ("{freshness: {max_age: 0s}}", "CT238"),
        ("{freshness: {max_age: 1s}}", ""),
        ("{label_rate: {min: 0, max: 1}}", "CT238"),
        ("{label_rate: {max: 100%}}", "CT238"),
        ("{label_rate: {max: 99%}}", ""),
        ("{leakage: {max_auc: 1}}", "CT238"),
        ("{leakage: {max_auc: 0.5}}", "CT238"),
        ("{leakage: {max_auc: 0.51}}", ""),
        ("{leakage: {max_auc: 0.9, columns: [late]}}", "CT232"),
        ("{label_rate: {max: 5%}, source: parcels}", "CT232"),
        ("{label_rate: {max: 5%}, source: arrivals}", ""),
        ("{drift: {columns: [w], method: psi, max: 0}}", "CT238"),
        ("{drift: {columns: [w], method: psi, max: 5}}", ""),
        ("{drift: {columns: [w], method: ks, max: 1}}", "CT238"),
        ("{schema: {columns: {w: number}, extra: refuse}}", "CT238"),
        ("{schema: {columns: {w: number}}}", ""),
        ("{schema: {columns: {parcel_id: string, dispatched_at: timestamp}, extra: refuse}}", ""),
        ("{skew: {source: parcels, columns: [w], method: psi, max: 0.1}}", "CT236"),
        ("{skew: {source: served, columns: [w], method: psi, max: 0.1}}", ""),
        ("{skew: {source: served, columns: [score], method: psi, max: 0.1}}", "CT236"),
        ("{skew: {source: serve, columns: [w], method: psi, max: 0.1}}", "CT209"),
        ("{null_ratio: {column: w, max: 1%}, source: parcel}", "CT209"),
        ("{null_ratio: {column: w, max: 1%}, over: {source: serve, window: 1d}}", "CT209"),
        ("{null_ratio: {column: w, max: 1%}, over: {source: served, window: 1d}}", ""),
        ("{null_ratio: {column: w, max: 1%}, over: {source: served, window: 0d}}", "CT231"),
        ("{null_ratio: {column: w, max: 1%}, over: {source: classics, window: 1d}}", "CT231"),
        ("{null_ratio: {column: w, max: 1%}, source: parcels, over: {source: served, window: 1d}}", "CT231"),
        ("{null_ratio: {column: hidden, max: 1%}}", "CT210"),
        ("{null_ratio: {column: region, max: 1%}}", "CT210"),
        ("{null_ratio: {column: hidden, max: 1%}, source: parcels}", ""),
        ("{sql: {expression: 'hidden > 0'}}", "CT210"),
        ("{sql: {expression: \"w = 'hidden'\"}}", ""),
        ("{unique: {columns: [w, region]}}", "CT210"),
        ("{null_ratio: {column: late, max: 1%}}", "CT211"),
        ("{null_ratio: {column: late, max: 1%}, source: arrivals}", ""),
    ],
)
def test_a_check_has_one_finding_or_none(check: str, code: str) -> None:
    codes = ("CT209", "CT210", "CT211", "CT212", *(f"CT23{digit}" for digit in range(1, 10)))
    hidden = "columns: {drop: [hidden], audit: [region]}"

    found = [each for each in codes if findings(each, SERVED, CLASSICS, hidden, checks(f"{{it: {check}}}"))]

    assert found == ([code] if code else [])


@pytest.mark.parametrize(
    ("task", "label_rate", "leakage"),
    [("binary", False, False), ("multiclass", True, False), ("regression", True, True)],
)
def test_checks_of_labels_fit_the_task(task: str, label_rate: bool, leakage: bool) -> None:
    found = findings("CT232", f"task: {task}", checks("{r: {label_rate: {max: 5%}}, l: {leakage: {max_auc: 0.9}}}"))
    kinds = [item.path.rsplit(".", 1)[1] for item in found]

    assert kinds == ["label_rate"] * label_rate + ["leakage"] * leakage


@pytest.mark.parametrize(
    ("other", "twice"),
    [
        ("{range: {max: 5, column: w, min: 0}}", True),
        ("{range: {column: w, min: 0, max: 6}}", False),
        ("{range: {column: w, min: 0, max: 5}, source: parcels}", False),
        ("{range: {column: w, min: 0, max: 5}, on_fail: warn}", False),
    ],
)
def test_a_check_is_there_once(other: str, twice: bool) -> None:
    found = places("CT235", checks(f"{{one: {{range: {{column: w, min: 0, max: 5}}}}, two: {other}}}"))

    assert found == (["validation.checks.two"] if twice else [])


@pytest.mark.parametrize(
    ("check", "trigger", "blocks"),
    [
        ("{columns: [w], method: psi, max: 0.2}", "{}", True),
        ("{columns: [w], method: psi, max: 0.1}", "{}", True),
        ("{columns: [w], method: psi, max: 0.3}", "{}", False),
        ("{columns: [v], method: psi, max: 0.2}", "{}", False),
        ("{columns: [w], method: ks, max: 0.2}", "{}", False),
        ("{columns: [w], method: psi, max: 0.2, baseline: season}", "{}", False),
        ("{columns: [w], method: psi, max: 0.2}", "{then: alert}", False),
        ("{columns: [w], method: psi, max: 0.2}", "{enabled: false}", False),
        ("{columns: [w], method: psi, max: 0.2}", "{drift: {source: parcels}}", True),
        ("{columns: [w], method: psi, max: 0.2}", "{drift: {source: served}}", False),
        ("{columns: [w], method: psi, max: 9}", "{drift: {max: null, false_alarms: {max: 1, per: 30d}}}", True),
    ],
)
def test_what_a_trigger_starts_no_check_stops(check: str, trigger: str, blocks: bool) -> None:
    base = "triggers: {moved: {drift: {columns: [w], method: psi, max: 0.2, window: 7d}}}"
    given = checks(f"{{same: {{drift: {check}}}}}")

    assert bool(findings("CT237", base, f"triggers: {{moved: {trigger}}}", given)) is blocks
    assert findings("CT237", base, f"triggers: {{moved: {trigger}}}", given, checks("{same: {on_fail: warn}}")) == []


@pytest.mark.parametrize(
    ("kind", "check", "wrong"),
    [
        ("number", "{range: {column: w, min: 0}}", False),
        ("integer", "{range: {column: w, min: 0}}", False),
        ("string", "{range: {column: w, min: 0}}", True),
        ("timestamp", "{range: {column: w, min: 0}}", True),
        ("string", "{pattern: {column: w, regex: x}}", False),
        ("number", "{pattern: {column: w, regex: x}}", True),
        ("number", "{allowed_values: {column: w, values: [a]}}", True),
        ("number", "{allowed_values: {column: w, values: [1, a]}}", False),
        ("string", "{allowed_values: {column: w, values: [1]}}", False),
        ("number", "{schema: {columns: {w: integer}}}", False),
        ("number", "{schema: {columns: {w: string}}}", True),
    ],
)
def test_columns_are_used_by_their_type(kind: str, check: str, wrong: bool) -> None:
    """The type comes from the CSV's own list, or from a schema check on the joined rows."""
    by_csv = f"sources: {{parcels: {{parquet: null, csv: {{path: x, columns: {{w: {kind}}}}}}}}}"
    by_schema = f"types: {{schema: {{columns: {{w: {kind}}}}}}}, "

    assert bool(findings("CT239", by_csv, checks(f"{{it: {check}}}"))) is wrong
    assert bool(findings("CT239", checks(f"{{{by_schema} it: {check}}}"))) is wrong


@pytest.mark.parametrize(
    ("column", "kind", "wrong"),
    [
        ("dispatched_at", "timestamp", False), ("dispatched_at", "date", False), ("dispatched_at", "integer", True),
        ("late", "boolean", False), ("late", "integer", False), ("late", "string", True),
    ],
)  # fmt: skip
def test_times_and_labels_have_types_that_work(column: str, kind: str, wrong: bool) -> None:
    csv = f"sources: {{parcels: {{parquet: null, csv: {{path: x, columns: {{{column}: {kind}}}}}}}}}"

    assert bool(findings("CT239", csv, "label: {source: parcels}")) is wrong


@pytest.mark.parametrize(
    ("target", "address", "code"),
    [
        ("kubeflow", "data/parcels/", "CT303"),
        ("kubeflow", "file:///data", "CT303"),
        ("kubeflow", "gs://x/", ""),
        ("sagemaker", "s3://x/", ""),
        ("sagemaker", "gs://x/", "CT306"),
        ("vertex", "gs://x/", ""),
        ("vertex", "s3://x/", "CT306"),
        ("azureml", "azureml://datastores/x/paths", ""),
        ("azureml", "abfss://c@a/x", ""),
        ("azureml", "gs://x/", "CT306"),
    ],
)
def test_data_is_within_a_targets_reach(target: str, address: str, code: str) -> None:
    change = f"sources: {{parcels: {{parquet: {{path: '{address}'}}}}, arrivals: {{parquet: {{path: '{address}'}}}}}}"

    found = [each for each in ("CT303", "CT306") if findings(each, change, target=target)]

    assert found == ([code] if code else [])


@pytest.mark.parametrize(
    ("check", "wrong"),
    [
        ("{range: {column: w, min: 0}}", ""),
        ("{null_ratio: {column: w, max: 1%}}", ""),
        ("{allowed_values: {column: w, values: [a]}}", ""),
        ("{pattern: {column: w, regex: x}}", ""),
        ("{sql: {expression: 'w > 0'}}", ""),
        ("{unique: {columns: [w]}}", "unique"),
        ("{row_count: {min: 1}}", "row_count"),
        ("{schema: {columns: {w: number}}}", "schema"),
        ("{leakage: {max_auc: 0.9}}", "leakage"),
        ("{freshness: {max_age: 1h}}", "freshness"),
        ("{drift: {columns: [w], method: psi, max: 0.2}}", "drift"),
        ("{range: {column: w, min: 0}, source: parcels}", "source"),
        ("{range: {column: w, min: 0}, over: {source: served, window: 1d}}", "over"),
    ],
)
def test_only_bad_rows_of_the_joined_ones_are_set_aside(check: str, wrong: str) -> None:
    found = findings("CT229", SERVED, checks(f"{{it: {check}}}"), checks("{it: {on_fail: quarantine}}"))

    assert [item.path for item in found] == ["validation.checks.it.on_fail"] * bool(wrong)
    assert all(f"`{wrong}`" in item.message for item in found)
    assert findings("CT229", SERVED, checks(f"{{it: {check}}}"), checks("{it: {on_fail: warn}}")) == []
