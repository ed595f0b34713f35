"""Bad input and bad luck, met as a user meets them: by running `ctc run` and reading what it says.

Every case ends with exit 3 and a sentence that names the cause; the state stays readable, the champion stays, and the
next run works once the cause is mended.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import project
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ctc.targets import NAMES

FIRST, SECOND, THIRD = "2024-02-26T06:00:00Z", "2024-03-04T06:00:00Z", "2024-03-11T06:00:00Z"


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project folder whose first cycle promoted a champion."""
    spec = project.make(tmp_path_factory.mktemp("bad") / "toy")
    project.run(spec, "--at", FIRST)
    return spec.parent


@pytest.fixture
def spec(champion: Path, tmp_path: Path) -> Path:
    """A copy of that project for one test."""
    shutil.copytree(champion, tmp_path / "toy")
    return tmp_path / "toy" / "ctc.yaml"


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def failing_train(spec: Path) -> None:
    (spec.parent / "train.py").write_text(
        "import sys\nfor n in range(40): print('line', n)\n"
        "print('the disk of the teacher is full', file=sys.stderr)\nsys.exit(7)\n"
    )


def silent_train(spec: Path) -> None:
    (spec.parent / "train.py").write_text("print('I did nothing')\n")


def wrong_column(spec: Path) -> None:
    replace(spec, "column: amount", "column: amuont")


def no_rows(spec: Path) -> None:
    file = spec.parent / "data" / "visits.parquet"
    pq.write_table(pq.read_table(file).slice(0, 0), file)


def no_file(spec: Path) -> None:
    (spec.parent / "data" / "visits.parquet").unlink()


def predictions(expression: str) -> Callable[[Path], None]:
    """A predict.py whose table is changed by `expression` before it is written."""

    def spoil(spec: Path) -> None:
        # The champion predicts from its own stored copy of the code, so only the contender is spoilt.
        replace(
            spec.parent / "predict.py",
            'pq.write_table(pa.table({"row_id": [r["row_id"] for r in rows], "score": scores}), args.out)',
            f'ids = [r["row_id"] for r in rows]\n{expression}\n'
            'pq.write_table(pa.table({"row_id": ids, "score": scores}), args.out)',
        )

    return spoil


CASES: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "train fails": (failing_train, ["train", "7", "the disk of the teacher is full", "line 39"]),
    "train writes nothing": (silent_train, ["train", "nothing"]),
    "a check names a column that is not there": (wrong_column, ["amuont", "amount"]),
    "a file is missing": (no_file, ["visits"]),
    "predictions miss rows": (predictions("ids, scores = ids[2:], scores[2:]"), ["missing", "2"]),
    "predictions have extra rows": (predictions("ids.append('who'); scores.append(.5)"), ["who"]),
    "predictions repeat a row": (predictions("ids.append(ids[0]); scores.append(.5)"), ["twice"]),
    "a score is NaN": (predictions("scores[3] = float('nan')"), ["NaN"]),
}


def cases_by_target() -> Iterator[Any]:
    """Each case on one target in turn, the others with `make soak`: what a case says comes from our own code."""
    for number, case in enumerate(CASES):
        for target in NAMES:
            mine = target == NAMES[number % len(NAMES)]
            yield pytest.param(case, target, marks=() if mine else pytest.mark.soak, id=f"{case}-{target}")


@pytest.mark.parametrize(("case", "target"), list(cases_by_target()))
def test_a_bad_cycle_says_why_and_loses_nothing(case: str, target: str, spec: Path) -> None:
    if target != "kubeflow":
        project.copy_state(spec, "kubeflow", target)
    spoil, words = CASES[case]
    keep = {
        name: (spec.parent / name).read_bytes()
        for name in ("ctc.yaml", "train.py", "predict.py", "data/visits.parquet")
    }
    before = json.loads((project.state(spec, target) / "state.json").read_text())
    spoil(spec)
    done = project.ctc("run", spec, "--target", target, "--python", sys.executable, "--at", SECOND, cwd=spec.parent)

    assert done.returncode == 3, done.stdout + done.stderr
    for word in words:
        assert word in done.stderr + done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    after = json.loads((project.state(spec, target) / "state.json").read_text())
    assert after["champion"] == before["champion"]
    for name, content in keep.items():
        (spec.parent / name).write_bytes(content)
    records = project.run(spec, "--at", THIRD, target=target)
    assert any(record["kind"] == "attempt" and record["outcome"] == "candidate" for record in records)


def test_empty_data_stops_the_cycle_with_its_numbers(spec: Path) -> None:
    """Nothing failed, so this is no error: too few rows is a recorded end."""
    no_rows(spec)
    records = project.run(spec, "--at", SECOND)
    [attempt] = [record for record in records if record["kind"] == "attempt"]

    assert attempt["outcome"] == "stopped"
    assert "0" in attempt["reason"]


def test_two_runs_on_one_state(spec: Path) -> None:
    """The second says who holds the state, and changes nothing; the first is not disturbed."""
    command = [sys.executable, "-m", "ctc", "run", str(spec), "--python", sys.executable, "--at", SECOND]
    slow = spec.parent / "train.py"
    slow.write_text("import time; time.sleep(8)\n" + slow.read_text())
    with subprocess.Popen(
        command, cwd=spec.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as first:
        lock = project.state(spec) / "run.lock"
        wait_until(lambda: lock.exists() and str(first.pid) in lock.read_text())
        second = project.ctc("run", spec, "--python", sys.executable, "--at", SECOND, cwd=spec.parent)
        output, _ = first.communicate(timeout=240)

    assert second.returncode == 3
    assert str(first.pid) in second.stderr
    assert first.returncode == 0, output


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    import time

    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


INJECT = """\
import builtins, errno, os
code = {code}
prefix = {prefix!r}
fragment = {fragment!r}

def wrap(module, name, writes):
    real = getattr(module, name)
    def wrapped(*args, **kwargs):
        if any(str(a).startswith(prefix) and fragment in str(a) for a in args) and writes(args, kwargs):
            raise OSError(code, os.strerror(code), str(args[-1]))
        return real(*args, **kwargs)
    setattr(module, name, wrapped)

always = lambda args, kwargs: True
for name in ("replace", "rename", "link", "mkdir"):
    wrap(os, name, always)
wrap(builtins, "open", lambda args, kwargs: set("wax+") & set(str((list(args[1:2]) or [kwargs.get("mode", "r")])[0])))
"""


@pytest.mark.parametrize(
    "fragment",
    [
        "state.json",
        "records",
        "launches",
        *(pytest.param(name, marks=pytest.mark.soak) for name in ("results", "bundle")),
    ],
)
@pytest.mark.parametrize("error", ["ENOSPC", pytest.param("EROFS", marks=pytest.mark.soak)])
def test_a_full_or_read_only_disk(spec: Path, error: str, fragment: str, tmp_path: Path) -> None:
    """Writing fails at one kind of file after another, in every process; the old documents stay whole."""
    import errno
    import os

    folder = project.state(spec)
    (tmp_path / "inject").mkdir()
    (tmp_path / "inject" / "sitecustomize.py").write_text(
        INJECT.format(code=getattr(errno, error), prefix=str(folder), fragment=fragment)
    )
    before = json.loads((folder / "state.json").read_text())
    # What is there already is not written again.
    shutil.rmtree(folder / "bundle")
    path = f"{tmp_path / 'inject'}{os.pathsep}{project.ROOT}"
    done = project.ctc(
        "run", spec, "--python", sys.executable, "--at", SECOND, cwd=spec.parent, environment={"PYTHONPATH": path}
    )

    assert done.returncode == 3, done.stdout + done.stderr
    assert os.strerror(getattr(errno, error)) in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    after = json.loads((folder / "state.json").read_text())
    assert after["champion"] == before["champion"]
    assert not list(folder.rglob("*.tmp"))
    records = project.run(spec, "--at", THIRD)
    assert records


def test_an_unreadable_parquet_file(spec: Path) -> None:
    (spec.parent / "data" / "visits.parquet").write_bytes(b"not parquet at all")
    done = project.ctc("run", spec, "--python", sys.executable, "--at", SECOND, cwd=spec.parent)

    assert done.returncode == 3
    assert "visits" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_an_instant_before_the_last_wake(spec: Path) -> None:
    done = project.ctc("run", spec, "--python", sys.executable, "--at", "2024-01-01T00:00:00Z", cwd=spec.parent)

    assert done.returncode == 3
    assert "2024-02-26" in done.stderr


def test_a_naive_event_time_asks_for_its_zone(spec: Path) -> None:
    file = spec.parent / "data" / "visits.parquet"
    table = pq.read_table(file)
    naive = table.column("at").cast(pa.timestamp("us"))
    pq.write_table(table.set_column(table.schema.get_field_index("at"), "at", naive), file)
    done = project.ctc("run", spec, "--python", sys.executable, "--at", SECOND, cwd=spec.parent)

    assert done.returncode == 3
    assert "timezone" in done.stderr + done.stdout
