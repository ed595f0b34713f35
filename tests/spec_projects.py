"""A runnable project for any spec of `specs/`: small data for its sources, and code that honours its commands.

Only what a machine at hand has not is changed: addresses become files, counts of rows become small, and what this
version does not run is left out (`LEFT_OUT`). Tasks, labels, strategies, metrics, gates and triggers stay.
"""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import everywhere
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import yaml

from ctc.language.units import duration

NOW = dt.datetime(2024, 3, 4, 6, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
ROWS = 1200

LEFT_OUT: dict[str, tuple[str, ...]] = {
    "canary": ("sources.served", "serving", "rollout", "triggers.slipping", "promotion.gates.fast"),
    "fine_tune": ("training.inputs",),
    "incremental": ("data",),
}
"""By spec, what is not run here: captured predictions and several instances, a remote file, references to data."""

COUNTS = {"min_rows": 10, "min_positives": 1, "mature_rows_after_change": 10, "new_rows": 10}
"""What a small data set can meet, in place of the counts of a large one."""

CODE = """\
import json, os, pathlib, sys
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

COMMANDS, LABEL, TASK = {commands!r}, {label!r}, {task!r}
CLASSES = ("red", "green", "blue")

def told():
    words = sys.argv[1:]
    for command in COMMANDS:
        pairs = list(zip(command, words))
        if len(command) == len(words) and all(a == b or "{{" in a for a, b in pairs):
            return {{a[1:-1]: b for a, b in pairs if a.startswith("{{")}}
    raise SystemExit(f"not a command of the spec: {{words}}")

def table(path):
    csv = pathlib.Path(path, "data.csv")
    return pc.read_csv(csv) if csv.is_file() else pq.read_table(path)

def load(folder):
    file = pathlib.Path(folder, "model.json")
    return json.loads(file.read_text()) if file.is_file() else {{}}

def fit(rows, base):
    sums = dict(base)
    for row in rows:
        if TASK == "multiclass":
            values = [float(row[LABEL] == name) for name in CLASSES]
        else:
            values = [1.0 if LABEL is None else float(row[LABEL])]
        shop = str(row.get("shop"))
        kept = sums.setdefault(shop, [0] + [0.0] * len(values))
        sums[shop] = [kept[0] + 1] + [a + b for a, b in zip(kept[1:], values)]
    return sums

def predict(model, rows):
    if LABEL is None:
        return {{"score": [row["amount"] / 101 for row in rows]}}
    found = [model.get(str(row.get("shop")), [3] + [1.0] * 3) for row in rows]
    if TASK == "multiclass":
        return {{f"score_{{n}}": [(f[i] + 1) / (f[0] + 3) for f in found] for i, n in enumerate(CLASSES, 1)}}
    means = [f[1] / f[0] for f in found]
    if TASK in ("binary", "ranking"):
        return {{"score": [min(0.99, max(0.01, mean)) for mean in means]}}
    return {{"prediction": means, "quantile_0.9": [mean + 2 for mean in means]}}

args = told()
if "predictions" in args:
    rows = table(args["rows"]).to_pylist()
    assert rows and LABEL not in rows[0], "predict must never see labels"
    answers = {{"row_id": [str(row["row_id"]) for row in rows], **predict(load(args["model"]), rows)}}
    pq.write_table(pa.table(answers), args["predictions"])
elif "out" in args:
    out = pathlib.Path(args["out"])
    pq.write_table(table(args["rows"]), out / "data.parquet" if out.is_dir() else out)
elif "prepared" in args:
    pathlib.Path(args["prepared"], "fitted").write_text(str(table(args["train"]).num_rows))
else:
    train = args.get("train") or os.environ["SM_CHANNEL_TRAIN"]
    out = args.get("model") or os.environ["SM_MODEL_DIR"]
    base = load(args["base_model"]) if args.get("base_model") else {{}}
    pathlib.Path(out, "model.json").write_text(json.dumps(fit(table(train).to_pylist(), base)))
"""


def tree_of(spec: Path, *, whole: bool = False) -> dict[str, Any]:
    """The spec's tree for local files; `whole` keeps what `LEFT_OUT` names."""
    tree: dict[str, Any] = yaml.safe_load(everywhere.variant(spec, "kubeflow"))
    for path in () if whole else LEFT_OUT.get(spec.stem, ()):
        *parents, last = path.split(".")
        holder = tree
        for key in parents:
            holder = holder[key]
        del holder[last]
    for name, source in tree["sources"].items():
        kind = "csv" if "csv" in source else "parquet"
        if kind in source:
            source[kind]["path"] = f"data/{name}.{kind}"
    for job in tree.get("serving", {}).values():
        if "batch" in job:
            job["batch"]["out"] = "scores"
    for target in tree["targets"].values():
        target.pop("variables", None)
    tree["triggers"].setdefault("asked", {"manual": {}})
    tree.pop("cost", None)
    return small(tree)


def small(value: Any) -> Any:
    """`value` with the counts of a small data set."""
    if isinstance(value, list):
        return [small(item) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: min(item, COUNTS[key]) if key in COUNTS else small(item) for key, item in value.items()}
    if "row_count" in made:
        made["row_count"] = {**made["row_count"], "min": 20}
    return made


def make(spec: Path, folder: Path, *, whole: bool = False) -> Path:
    """Writes the project of a spec into `folder` and returns the path of what is run."""
    tree = tree_of(spec, whole=whole)
    (folder / "data").mkdir(parents=True)
    for name, rows in tables(tree, spec.read_text(encoding="utf-8")).items():
        table = pa.Table.from_pylist(rows)
        if "csv" in tree["sources"][name]:
            pa.csv.write_csv(table, folder / "data" / f"{name}.csv")
        else:
            pq.write_table(table, folder / "data" / f"{name}.parquet")
    write_code(tree, folder / "src")
    path = folder / "ctc.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False, width=10_000))
    return path


def write_code(tree: Mapping[str, Any], folder: Path) -> None:
    """The files that the commands of the spec name: each does what the command in which it stands asks of it."""
    prepare, training = tree.get("prepare", {}), tree["training"]
    commands = [prepare[name] for name in ("fit", "apply") if name in prepare]
    commands += [training["argv"], training["predict"]]
    task = tree["task"] if isinstance(tree["task"], str) else next(iter(tree["task"]))
    label = None if tree["label"] == "none" else tree["label"]["column"]
    files: dict[Path, list[list[str]]] = {}
    for command in commands:
        module = command[1] == "-m"
        file = Path(*command[2].split(".")).with_suffix(".py") if module else Path(command[1])
        files.setdefault(file, []).append(command[3 if module else 2 :])
    for file, known in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        if len(file.parts) > 1:
            (folder / file).with_name("__init__.py").touch()
        (folder / file).write_text(CODE.format(commands=known, label=label, task=task))


def instants(tree: Mapping[str, Any], draw: random.Random) -> list[dt.datetime]:
    """When rows happen: in the stretches of training and of the holdout, up to the present."""
    retraining, label = tree["retraining"], tree["label"]
    forecast = tree["task"].get("forecast") if isinstance(tree["task"], dict) else None
    window = retraining.get("window", "1200d")
    known = duration(label["known_after"]) if label != "none" else DAY * 0
    holdout = duration(retraining["holdout"].get("time", "1d"))
    gap = duration(retraining.get("gap", "0d"))
    length = duration(tree["variables"]["window"] if window.startswith("$") else window)
    if forecast:
        midnight = NOW.replace(hour=0)
        days = int((length + known + holdout + gap) / DAY) + 3
        return [midnight - DAY * day for day in range(days, -1, -1)]
    end = NOW - known
    split = end - holdout
    early = [split - draw.random() * (length - 2 * gap) * 0.9 for _ in range(ROWS * 2 // 3)]
    late = [end - draw.random() * holdout for _ in range(ROWS // 4)]
    recent = [NOW - draw.random() * known for _ in range(ROWS // 12)]
    return sorted(moment.replace(microsecond=0) for moment in (*early, *late, *recent))


def tables(tree: Mapping[str, Any], text: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of every source, by its name. The same spec gives the same rows."""
    draw = random.Random(tree["name"])
    sources = tree["sources"]
    [main] = [name for name, source in sources.items() if source["role"] == "rows"]
    forecast = isinstance(tree["task"], dict) and "forecast" in tree["task"]
    moments = instants(tree, draw)
    series: Iterable[tuple[int, dt.datetime]] = enumerate(moments)
    if forecast:
        series = [(index, moment) for moment in moments for index in range(4)]
    facts = [fact(tree, text, main, index, moment, draw) for index, moment in series]
    label = tree["label"]
    made = {}
    for name, source in sources.items():
        own = label != "none" and label["source"] == name
        if source["role"] == "rows":
            made[name] = [{**row, **(answer if own else {})} for row, answer, _ in facts]
        elif source["role"] == "labels":
            keys = source["join"]["key"]
            made[name] = [{**{key: row[key] for key in keys}, **answer, source["known_at"]: known}
                          for row, answer, known in facts]  # fmt: skip
        elif source["role"] == "holdout":
            [key] = source["key"]
            made[name] = [{**row, **answer, key: f"x{row[key]}"} for row, answer, _ in facts[:100]]
        elif source["role"] == "features":
            keys = source["join"]["key"]
            found = {tuple(row[key] for key in keys) for row, _, _ in facts}
            made[name] = [
                {**dict(zip(keys, value, strict=True)), source["known_at"]: moments[0], "price": draw.uniform(1, 9)}
                for value in sorted(found)
            ]
    return made


def fact(
    tree: Mapping[str, Any], text: str, main: str, index: int, moment: dt.datetime, draw: random.Random
) -> tuple[dict[str, Any], dict[str, Any], dt.datetime]:
    """A row, its label by column, and when that is known."""
    source, label = tree["sources"][main], tree["label"]
    local = source.get("timezone") is not None
    at = moment.replace(tzinfo=None) if local else moment
    level = draw.randrange(3)
    row: dict[str, Any] = {"shop": "abc"[level], "amount": draw.uniform(0, 100)}
    row |= {name: value for name, value in columns(index, draw).items() if re.search(rf"\b{name}\b", text)}
    row |= {key: row.get(key, f"{key}{index}") for key in source["key"]}
    after = duration(label["known_after"]) if label != "none" else DAY * 0
    known = moment + after * 0.5
    if source.get("event_time") != "none":
        row[source["event_time"]] = at
    if "known_at" in source:
        row[source["known_at"]] = known.replace(tzinfo=None) if local else known
    if label == "none":
        return row, {}, known
    return row, {label["column"]: answer(tree["task"], level, draw)}, known


def answer(task: Any, level: int, draw: random.Random) -> Any:
    if task == "binary":
        return int(draw.random() < (0.02, 0.08, 0.3)[level])
    if task == "multiclass":
        return draw.choices(("red", "green", "blue"), ((8, 1, 1), (1, 8, 1), (1, 1, 8))[level])[0]
    if isinstance(task, dict) and "ranking" in task:
        return int(draw.random() < (0.1, 0.4, 0.8)[level])
    return 5.0 + level + draw.gauss(0, 0.5)


def columns(index: int, draw: random.Random) -> dict[str, Any]:
    """Values for the columns that some spec names in its checks, slices and tasks."""
    return {
        "sex": draw.choice("fm"),
        "age_band": draw.choice(("young", "old")),
        "language": draw.choice(("no", "en")),
        "city": draw.choice(("Oslo", "Bergen")),
        "country": draw.choice(("NO", "SE")),
        "market": draw.choice(("no", "se")),
        "income": draw.uniform(1, 9),
        "internal_note": "seen",
        "customer_id": f"c{index}",
        "session_id": f"s{index}",
        "query_id": f"{index // 4:016x}",
        "article_id": f"a{index}",
        "store": f"s{index % 2}",
        "article": f"a{index // 2 % 2}",
        "status": "listed",
        "area": draw.uniform(20, 250),
        "pressure_in": 1.0,
        "pressure_out": 2.0,
        "brightness": draw.uniform(0, 1),
        "store_format": draw.choice(("small", "large")),
    }
