"""The data steps on files larger than their memory: 1 GB, and 5 GB under CTC_SOAK=1.

Each step is the real program in a process of its own. What it answers is worked out a second time here, in other words:
grouped SQL for the join as of, pairs counted by score for ranks.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

import duckdb
import large_sources
import numpy as np
import pytest
from large_sources import NUMBERS, PRICES
from step_tables import DAY, at, data, services, source, windows

from ctc.policy.data_checks import JUDGES
from ctc.policy.profile import Profile, of_numbers
from ctc.steps import validate
from ctc.steps.baselines import training_key
from ctc.steps.results import request_key

ROOT = Path(__file__).resolve().parents[1]
STORE = "s3://bucket/toy/prod"
GB, MB = 10**9, 10**6
SCALE = 5 if os.environ.get("CTC_SOAK") == "1" else 1
ROWS, SHOPS = 5_200_000 * SCALE, 160_000 * SCALE
FREE_DISK = 8 * GB * SCALE
ENGINE_MEMORY = "1GB"
PEAK = 2 * GB
"""What the whole process of a step may hold, for 1 GB of files as for 5."""
CHECKING_PEAK = 1 * GB
"""What the data checks may hold, whose engine is given 512 MB."""
PEAK_PER_ROW = 400
"""Bytes for each row of the holdout, which `evaluate` alone holds, as columns: it grows with that and nothing else."""
SPOTS = 1000
SECTION = windows(known_after=2 * DAY, holdout=10 * DAY, gap=DAY, window=30 * DAY, validation_share=0.2)
NOW = at(46 * 24)
LEARNT, HELD = (
    f"placed >= TIMESTAMPTZ '{at(first * 24)}' AND placed < TIMESTAMPTZ '{at(end * 24)}'"
    for first, end in ((3, 33), (34, 44))
)
SERVED = {"key": "id", "score": "x0", "model_version": "region", "event_time": "placed"}
"""The main rows themselves, as if they had been served."""
KINDS = (*JUDGES, *validate.ALONE)
PARTS = ("train", "valid", "holdout")
OUTPUTS = {"snapshot": ["train", "valid", "rows", "holdout"], "validate": [], "evaluate": ["evaluation", "scores"]}

PROGRAM = """
import json, re, runpy, sys, threading, time
most, file = 0, sys.argv.pop(1)
def watch():
    global most
    while True:
        most = max(most, sys.getallocatedblocks())
        time.sleep(0.01)
threading.Thread(target=watch, daemon=True).start()
try:
    runpy.run_module("ctc.step", run_name="__main__", alter_sys=True)
finally:
    peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
    json.dump({"peak": peak, "objects": most}, open(file, "w"))
"""
"""`python -m ctc.step`, watched from within: a child's `ru_maxrss` begins with what its parent held at its start."""


@dataclass(frozen=True)
class Ran:
    """At most: `peak` bytes of memory, `objects` blocks of memory of Python's, `spilled` bytes laid aside on disk."""

    code: int
    said: str
    peak: int
    objects: int
    spilled: int
    numbers: Mapping[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Room for the files and all that is made of them, given back at once: pytest keeps its folders for a while."""
    free = shutil.disk_usage(tmp_path).free
    if free < FREE_DISK:
        pytest.skip(
            f"{free / GB:.1f} GB of disk are free, {FREE_DISK / GB:.0f} GB are needed: free some, or set TMPDIR"
        )
    yield tmp_path
    shutil.rmtree(tmp_path)


def test_more_data_than_memory(folder: Path) -> None:
    with engine(folder) as sql:
        large_sources.make(folder / "sources", sql, ROWS, SHOPS)
    files = sum(file.stat().st_size for file in (folder / "sources").rglob("*.parquet"))
    assert files > GB * SCALE

    gives_up_and_leaves_nothing(folder)
    snapshot = takes_the_snapshot(folder)
    validates(folder, snapshot)
    make_predictions(folder)
    evaluates(folder, snapshot)


def gives_up_and_leaves_nothing(folder: Path) -> None:
    """With far too little memory: a message, and nothing of what was laid aside by then."""
    ran = run("snapshot", folder, {}, memory="100MB")
    assert ran.code == 1
    assert ran.said.startswith("ctc: snapshot failed: the data engine gave up: ")
    assert "Traceback" not in ran.said
    assert ran.spilled > 0
    nothing_is_left(folder)


def takes_the_snapshot(folder: Path) -> Ran:
    # As a process leaves it that is killed in the middle of its work.
    killed = out(folder, "snapshot", "holdout") / ".aside" / "duckdb_temp_storage_DEFAULT-0.tmp"
    killed.parent.mkdir(parents=True)
    killed.write_text("of an earlier process")

    ran = run("snapshot", folder, {})
    assert ran.code == 0, ran.said
    assert ran.spilled > 100 * MB
    assert ran.peak < PEAK
    nothing_is_left(folder)

    expected = expected_rows(folder)
    learnt, held = expected["learnt"], expected["held"]
    valid = int(learnt * SECTION["validation_share"])
    assert ran.numbers["data"]["rows"] == {"train": learnt - valid, "valid": valid, "holdout": held}
    assert ran.numbers["data"]["absent_labels"] == expected["absent"] > ROWS // 100
    assert ran.numbers["data"]["positives"] == expected["positives"]
    assert ran.numbers["data"]["label_rate"] == pytest.approx(expected["positives"] / (learnt + held), abs=1e-12)

    in_order(folder)
    matches_at_random_keys(folder)
    return ran


def validates(folder: Path, snapshot: Ran) -> None:
    """Every kind of check."""
    objects = services(folder).objects
    objects.put(request_key("a1"), {"launch": 1, "baselines": {"champion": "a0"}})
    objects.put(training_key("a0"), Profile({"x1": of_numbers(np.sqrt((np.arange(10_000) + 0.5) / 10_000))}).to_json())

    ran = run("validate", folder, {part: out(folder, "snapshot", part) for part in PARTS}, memory="512MB")
    assert ran.code == 0, ran.said
    assert ran.peak < CHECKING_PEAK
    nothing_is_left(folder)
    found = {check["name"]: check["numbers"] for check in ran.numbers["checks"]}
    assert {check["name"]: check["answer"] for check in ran.numbers["checks"]} == dict.fromkeys(found, "pass")
    assert {check["kind"] for check in ran.numbers["checks"]} == set(KINDS)
    with engine(folder) as sql:
        rows, unpriced, least, most, positives, unordered, far, distinct = sql(
            "SELECT count(*), count(*) - count(f0), min(x0), max(x0), sum(y), count(*) FILTER (x0 <= x1), "
            "count(*) FILTER (region NOT IN ('r0', 'r1', 'r2')), count(DISTINCT row_id) " + snapshot_of(folder)
        )[0]
        known = sql(f"SELECT max(placed) FROM {files(folder, 'main')}")[0][0]
        tenths = [
            count for _, count in sql(f"SELECT floor(x1 * x1 * 10) AS tenth, count(*) {snapshot_of(folder)} GROUP BY 1")
        ]
    assert rows == sum(snapshot.numbers["data"]["rows"].values()) == found["many"]["rows"] == distinct
    assert found["priced"] == {"rows": rows, "missing": unpriced, "ratio": unpriced / rows, "max": 0.5}
    assert 0 < unpriced < rows / 2
    assert (found["x"]["lowest"], found["x"]["highest"]) == (least, most)
    assert found["ids"] == {"rows": ROWS, "repeated": 0}
    assert found["once"] == {"rows": rows, "repeated": 0}
    assert (found["near"]["outside"], found["plain"]["outside"]) == (far, far)
    assert found["ordered"]["outside"] == unordered
    assert (found["rate"]["labelled"], found["rate"]["positives"]) == (rows, positives)
    assert found["fresh"]["age_seconds"] == pytest.approx((NOW - known.astimezone(UTC)).total_seconds())
    whole = area_of(folder, snapshot_of(folder), "x0")[0]
    assert found["leak"]["feature"] == "x0"
    assert found["leak"]["highest"] == pytest.approx(whole, abs=3 * 0.0016)
    drawn = sum(min(100_000, count) for count in (positives, rows - positives))
    assert found["leak"]["rows"] == pytest.approx(drawn, rel=0.02)
    # The baseline grows with the root: its tenths end at the roots of 0.1, 0.2, ...
    psi = sum((count / rows - 0.1) * math.log(count / rows / 0.1) for count in tenths)
    assert found["moved"]["columns"]["x1"]["value"] == pytest.approx(psi, rel=2e-3)
    assert found["served"]["columns"]["x1"]["rows_baseline"] == rows
    profile = Profile.from_json(objects.get(training_key("a1")) or {})
    assert profile.columns["x0"].rows == rows - snapshot.numbers["data"]["rows"]["holdout"]


def evaluates(folder: Path, snapshot: Ran) -> None:
    held = snapshot.numbers["data"]["rows"]["holdout"]
    inputs = {name: folder / name for name in ("contender", "champion")}
    ran = run("evaluate", folder, {"holdout": out(folder, "snapshot", "holdout"), **inputs})
    assert ran.code == 0, ran.said
    assert ran.peak < 400 * MB + PEAK_PER_ROW * held
    assert ran.peak < PEAK or SCALE > 1
    # One object for each row would be at least as many blocks as there are rows; the libraries themselves have some.
    assert 0 < ran.objects < held // 2

    numbers = ran.numbers
    expected = {name: area(folder, name, "true") for name in inputs}
    assert (numbers["rows"], numbers["compared_rows"]) == (held, held)
    for name, (value, _, _) in expected.items():
        assert numbers["metrics"]["auc"][name]["value"] == pytest.approx(value, abs=1e-9)
    gate = numbers["gates"]["same"]
    assert gate["gain"] == pytest.approx(expected["contender"][0] - expected["champion"][0], abs=1e-9)
    assert gate["lower"] < gate["gain"]
    assert gate["n"] == held
    tiers = numbers["slices"]["by_tier"]
    assert set(tiers) == {"0", "1", "2"}
    for tier, part in tiers.items():
        value, positives, negatives = area(folder, "contender", f"tier = {tier}")
        assert part["n"] == positives + negatives
        assert part["metrics"]["auc"]["contender"] == pytest.approx(value, abs=1e-9)
    # As many values as rows, none of them with enough rows.
    assert numbers["slices"]["by_number"] == {}


def make_predictions(folder: Path) -> None:
    """Scores for the rows, in another order than theirs; the champion's have many ties."""
    with engine(folder) as sql:
        for name, score in (("contender", "0.8 * x0 + 0.2 * x1"), ("champion", "round(0.6 * x0 + 0.4 * x1, 4)")):
            (folder / name).mkdir()
            rows = f"SELECT row_id, {score} AS score FROM '{out(folder, 'snapshot', 'rows')}/data.parquet'"
            sql(f"COPY ({rows} ORDER BY hash(row_id)) TO '{folder}/{name}/predictions.parquet' (FORMAT parquet)")


def expected_rows(folder: Path) -> dict[str, int]:
    """The rows of each window that had a label in time, by grouping where the step joins as of."""
    query = f"""
        WITH rows AS (SELECT id, placed, {HELD} AS held FROM {files(folder, "main")} WHERE ({LEARNT}) OR ({HELD})),
        labelled AS (
            SELECT rows.id, any_value(held) AS held, arg_max(y, known) AS y
            FROM rows LEFT JOIN {files(folder, "labels")} AS labels
              ON labels.id = rows.id AND known <= placed + INTERVAL 48 HOURS GROUP BY rows.id
        )
        SELECT count(*) FILTER (NOT held AND y IS NOT NULL), count(*) FILTER (held AND y IS NOT NULL),
               count(*) FILTER (y IS NULL), sum(y) FROM labelled"""
    with engine(folder) as sql:
        return dict(zip(("learnt", "held", "absent", "positives"), map(int, sql(query)[0]), strict=True))


def in_order(folder: Path) -> None:
    """By time and id within each part; training, validation, holdout one after the other."""
    ends = []
    with engine(folder) as sql:
        for part in PARTS:
            file = f"'{out(folder, 'snapshot', part)}/data.parquet'"
            turned = sql(
                "SELECT count(*) FROM (SELECT (event_time, row_id) AS here, lag(here) OVER () AS before FROM "
                f"(SELECT event_time, row_id FROM {file})) WHERE before >= here"
            )
            assert turned == [(0,)]
            ends += sql(f"SELECT min(event_time), max(event_time) FROM {file}")[0]
        assert ends == sorted(ends)
        rows, holdout = (f"'{out(folder, 'snapshot', part)}/data.parquet'" for part in ("rows", "holdout"))
        columns = [[name for name, *_ in sql(f"DESCRIBE SELECT * FROM {file}")] for file in (rows, holdout)]
        assert columns[0] == [name for name in columns[1] if name != "y"]
        differ = f"FROM (SELECT row_id FROM {rows}) a POSITIONAL JOIN (SELECT row_id FROM {holdout}) b"
        assert sql(f"SELECT count(*) {differ} WHERE a.row_id IS DISTINCT FROM b.row_id") == [(0,)]


def matches_at_random_keys(folder: Path) -> None:
    """The same columns as the main source has, the label and the prices known by then, for a thousand keys by hash."""
    with engine(folder) as sql:
        sql(f"CREATE TABLE found AS SELECT * {snapshot_of(folder)} ORDER BY hash(row_id, 7) LIMIT {SPOTS}")
        sql(f"""CREATE TABLE wanted AS SELECT main.*, price.* EXCLUDE (shop, id), label.y
            FROM {files(folder, "main")} AS main SEMI JOIN found ON main.id = found.row_id
            LEFT JOIN (
                SELECT found.id, found.shop, {", ".join(f"arg_max({name}, p.known) AS {name}" for name in PRICES)}
                FROM (SELECT id, shop, placed FROM found) AS found
                JOIN {files(folder, "prices")} AS p ON p.shop = found.shop AND p.known <= found.placed GROUP BY ALL
            ) AS price ON price.id = main.id
            JOIN (
                SELECT found.id, arg_max(l.y, l.known) AS y FROM (SELECT id, placed FROM found) AS found
                JOIN {files(folder, "labels")} AS l ON l.id = found.id AND l.known <= found.placed + INTERVAL 2 DAYS
                GROUP BY ALL
            ) AS label ON label.id = main.id""")
        chosen = ", ".join(["id", "shop", "tier", "placed", *NUMBERS, *PRICES, "y"])
        wanted, found = (sql(f"SELECT {chosen} FROM {table} ORDER BY id") for table in ("wanted", "found"))
    assert len(found) == SPOTS
    assert found == wanted
    assert 0 < sum(row[-2] is None for row in found) < SPOTS / 2


def area(folder: Path, name: str, chosen: str) -> tuple[float, int, int]:
    """Of a model's scores for the chosen rows of the holdout."""
    held = f"'{out(folder, 'snapshot', 'holdout')}/data.parquet'"
    return area_of(
        folder, f"FROM {held} JOIN '{folder}/{name}/predictions.parquet' USING (row_id) WHERE {chosen}", "score"
    )


def area_of(folder: Path, rows: str, score: str) -> tuple[float, int, int]:
    """The share of pairs of positive and negative rows in the right order, a tie as half; the counts of both."""
    query = f"""
        WITH scored AS (
            SELECT {score} AS score, sum(y) AS positives, sum(1 - y) AS negatives {rows} GROUP BY 1
        ), below AS (
            SELECT *, sum(negatives) OVER (ORDER BY score ROWS UNBOUNDED PRECEDING) - negatives AS lower FROM scored
        )
        SELECT sum(positives * (lower + negatives / 2)) / (sum(positives) * sum(negatives)), sum(positives),
               sum(negatives) FROM below"""
    with engine(folder) as sql:
        value, positives, negatives = sql(query)[0]
    return float(value), int(positives), int(negatives)


def policy(folder: Path) -> dict[str, Any]:
    sources = {
        "main": source("rows", str(folder / "sources" / "main"), event_time="placed", key=["id"]),
        "prices": source("features", str(folder / "sources" / "prices"), known_at="known", join=["shop"]),
        "labels": source("labels", str(folder / "sources" / "labels"), known_at="known", join=["id"]),
        "served": source(
            "predictions", str(folder / "sources" / "main"), event_time="placed", key=["id"], columns=SERVED
        ),
    }
    gate = {
        "name": "same",
        "kind": "not_worse",
        "metric": "auc",
        "better": "higher",
        "margin": 0.01,
        "confidence": 0.975,
        "stated_confidence": 0.975,
        "by": None,
        "relative": False,
        "source": None,
    }
    slices = [{"name": "by_tier", "column": "tier"}, {"name": "by_number", "column": "x0"}]
    return {
        "data": data(sources, label={"known_after": 2 * DAY}),
        "windows": SECTION,
        "format": {"csv": None},
        "validation": {
            "checks": [
                check("many", "row_count", min=1),
                check("types", "schema", columns={"x0": "number", "tier": "integer", "region": "string"}),
                check("priced", "null_ratio", column="f0", max=0.5),
                check("x", "range", column="x0", min=0, max=1),
                check("ids", "unique", source="main", columns=["id"]),
                check("once", "unique", columns=["row_id"]),
                check("near", "allowed_values", column="region", values=["r0", "r1", "r2"], tolerate=0.6),
                check("plain", "pattern", column="region", regex="r[0-2]", tolerate=0.6),
                check("hexadecimal", "pattern", column="id", regex="[0-9a-f]{32}"),
                check("ordered", "sql", expression="x0 > x1", tolerate=0.6),
                check("rate", "label_rate", min=0.1, max=0.5),
                check("leak", "leakage", max_auc=0.98),
                check("fresh", "freshness", max_age=DAY),
                check("moved", "drift", columns=["x1"], method="psi", max=1),
                check("served", "skew", source="served", columns=["x1", "region"], method="psi", max=0.01),
            ]
        },
        "evaluation": {
            "metrics": [{"name": "auc", "kind": "roc_auc", "better": "higher", "arguments": {}}],
            "slices": [{**part, "edges": [], "min_rows": 1000, "min_positives": 0} for part in slices],
            "group": None,
            "unit": [],
        },
        "promotion": {"false_promotions": None, "gates": [{**gate, "value": None, "min": None, "max": None}]},
    }


def check(name: str, kind: str, source: str | None = None, **arguments: Any) -> dict[str, Any]:
    if kind == "skew":
        source, arguments = None, {**arguments, "source": source}
    return {"name": name, "kind": kind, "source": source, "over": None, "on_fail": "stop", "arguments": arguments}


def run(step: str, folder: Path, inputs: Mapping[str, Path], memory: str = ENGINE_MEMORY) -> Ran:
    """One step as its container runs it, with two threads."""
    document = {"version": 1, "step": step, "policy": policy(folder), "spec_digest": "ab" * 32, "root": STORE}
    document |= {"name": "toy", "environment": "prod", "target": "kubeflow"}
    (folder / "tmp").mkdir(exist_ok=True)
    (folder / f"{step}.json").write_text(json.dumps(document))
    words = [
        sys.executable,
        "-B",
        "-c",
        PROGRAM,
        str(folder / "watched"),
        step,
        "--document",
        str(folder / f"{step}.json"),
    ]
    words += [
        "--parameter",
        f"instant={NOW.isoformat()}",
        "--parameter",
        "attempt=a1",
        "--result",
        str(folder / "result"),
    ]
    words += [word for name, place in inputs.items() for word in ("--input", f"{name}={place}")]
    words += [word for name in OUTPUTS[step] for word in ("--output", f"{name}={out(folder, step, name)}")]
    bounds = {"CTC_ENGINE_MEMORY": memory, "CTC_ENGINE_THREADS": "2", "TMPDIR": str(folder / "tmp")}
    place = {"PYTHONPATH": str(ROOT), "CTC_MOUNTS": json.dumps({STORE: str(folder / "root")})}
    with (folder / "said").open("w") as said:
        child = subprocess.Popen(words, env={**os.environ, **bounds, **place}, stderr=said)
        spilled = 0
        while child.poll() is None:
            spilled = max(spilled, laid_aside(folder / "out"))
            time.sleep(0.1)
    numbers = json.loads((folder / "result" / "result.json").read_text())["numbers"]
    watched = json.loads((folder / "watched").read_text())
    return Ran(child.returncode, (folder / "said").read_text(), spilled=spilled, numbers=numbers, **watched)


def laid_aside(folder: Path) -> int:
    total = 0
    for file in folder.rglob(".aside/*"):
        # The engine removes it when it likes.
        with contextlib.suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def nothing_is_left(folder: Path) -> None:
    assert not list((folder / "tmp").iterdir())
    assert not list((folder / "out").rglob(".aside"))


@contextlib.contextmanager
def engine(folder: Path) -> Iterator[Callable[[str], list[Any]]]:
    """DuckDB in SQL, within the bounds that the steps have."""
    settings = {"memory_limit": ENGINE_MEMORY, "threads": 2, "temp_directory": str(folder / "judge")}
    connection = duckdb.connect(config=settings)
    connection.execute("SET TimeZone = 'UTC'")
    try:
        yield lambda query: connection.execute(query).fetchall()
    finally:
        connection.close()


def out(folder: Path, step: str, name: str) -> Path:
    return folder / "out" / step / name


def files(folder: Path, name: str) -> str:
    return f"read_parquet('{folder}/sources/{name}/*.parquet')"


def snapshot_of(folder: Path) -> str:
    paths = [str(out(folder, "snapshot", part) / "data.parquet") for part in PARTS]
    return f"FROM read_parquet({paths})"
