"""The data of the benchmark of data checks, and its peer: one DuckDB scan of the same columns.

`python checks_peer.py make FOLDER ROWS` writes the snapshot's three parts, `scan FOLDER` reads every column once, and
`checks FOLDER` runs the step `validate` with every kind of check.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

NUMBERS = [f"x{column}" for column in range(12)]
TEXTS = [f"s{column}" for column in range(4)]
PARTS = {"train": (0.0, 0.7), "valid": (0.7, 0.8), "holdout": (0.8, 1.0)}
COLUMNS = ["row_id", "event_time", "y", "n0", *NUMBERS, *TEXTS]
CHECKS = [
    ("count", "row_count", {"min": 1, "usual": 0.2}),
    ("types", "schema", {"columns": dict.fromkeys(NUMBERS, "number")}),
    ("rate", "label_rate", {"min": 0.01, "max": 0.5}),
    ("leak", "leakage", {"max_auc": 0.98}),
    ("once", "unique", {"columns": ["row_id"]}),
    ("ordered", "sql", {"expression": "x0 + x1 >= 0 AND n0 IS NOT NULL"}),
    *((f"there_{name}", "null_ratio", {"column": name, "max": 0.1}) for name in (*NUMBERS, *TEXTS)),
    *((f"range_{name}", "range", {"column": name, "min": 0, "max": 1}) for name in NUMBERS),
    *((f"values_{name}", "allowed_values", {"column": name, "values": [f"v{i}" for i in range(50)]}) for name in TEXTS),
    *((f"pattern_{name}", "pattern", {"column": name, "regex": "v[0-9]+"}) for name in TEXTS),
]


def make(folder: Path, rows: int) -> None:
    """Twenty columns: a key, a time, a label, a whole number, twelve numbers, four texts; the same at every run."""
    import duckdb

    def uniform(salt: int) -> str:
        return f"(hash(range, {salt}) / 18446744073709551616.0)"

    numbers = ", ".join(f"{uniform(10 + i)} AS {name}" for i, name in enumerate(NUMBERS))
    texts = ", ".join(f"'v' || (hash(range, {40 + i}) % 50) AS {name}" for i, name in enumerate(TEXTS))
    for name, (start, end) in PARTS.items():
        (folder / name).mkdir(parents=True)
        duckdb.sql(
            f"COPY (SELECT range::VARCHAR AS row_id, TIMESTAMPTZ '2024-01-01' + to_seconds(range) AS event_time, "
            f"({uniform(1)} < 0.1)::BIGINT AS y, (hash(range, 2) % 1000)::INTEGER AS n0, {numbers}, {texts} "
            f"FROM range({int(rows * start)}, {int(rows * end)})) TO '{folder}/{name}/data.parquet' (FORMAT parquet)"
        )


def scan(folder: Path) -> None:
    """The least that any check needs: every value of every column is read, and compared once."""
    import duckdb

    wanted = ", ".join(f"min({name}), max({name}), count({name})" for name in COLUMNS)
    duckdb.sql(f"SELECT count(*), {wanted} FROM read_parquet('{folder}/*/data.parquet')").fetchall()


def checks(folder: Path) -> None:
    from ctc.steps import validate
    from ctc.steps.local import local_services
    from ctc.steps.task import Task

    main = {"role": "rows", "parquet": "", "event_time": "event_time", "known_at": None, "timezone": None}
    main |= {"key": ["row_id"], "join": None}
    data = {"task": "binary", "sources": {"main": main}, "rows": "main", "columns": {"drop": [], "audit": []}}
    data["label"] = {"source": "main", "column": "y", "known_after": 0.0, "absent": "drop"}
    given = [
        {"name": name, "kind": kind, "source": None, "over": None, "on_fail": "warn", "arguments": arguments}
        for name, kind, arguments in CHECKS
    ]
    document = {"root": str(folder / "root"), "policy": {"data": data, "validation": {"checks": given}}}
    task = Task("validate", document, datetime(2024, 6, 1, tzinfo=UTC), "a1", inputs={n: folder / n for n in PARTS})
    result = validate.run(task, local_services(document))
    answers = [check["answer"] for check in result.numbers["checks"]]
    assert len(answers) == len(CHECKS), json.dumps(result.numbers)


if __name__ == "__main__":
    verb, place = sys.argv[1], Path(sys.argv[2])
    if verb == "make":
        make(place, int(sys.argv[3]))
    else:
        {"scan": scan, "checks": checks}[verb](place)
