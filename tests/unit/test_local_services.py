"""The file-based services, met by kills, full disks and rivals."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ctc.steps.local import FileObjectStore, FileStateStore, LocalLauncher, local_services
from ctc.steps.local_registry import MlflowRegistry
from ctc.steps.ports import Conflict
from ctc.steps.task import StepFailed

ROOT = Path(__file__).resolve().parents[2]
BIG = "x" * 200_000


def child(program: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_compare_and_set(tmp_path: Path) -> None:
    store = FileStateStore(tmp_path / "new")
    empty = store.read()
    assert empty.document is None

    token = store.compare_and_set(empty.token, {"n": 1})
    assert store.read() == type(empty)({"n": 1}, token)
    with pytest.raises(Conflict):
        store.compare_and_set(empty.token, {"n": 2})
    assert store.read().document == {"n": 1}
    assert store.compare_and_set(token, {"n": 2}) == store.read().token != token


def test_objects(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path, "s3://bucket/root/")
    assert objects.get("a/b.json") is None
    objects.put("a/b.json", {"n": 1})
    objects.put("a/b.json", {"n": 2})
    assert objects.get("a/b.json") == {"n": 2}
    assert not objects.put_once("a/b.json", {"n": 3})
    assert objects.put_once("a/c.json", {"n": 4})
    assert [objects.get("a/b.json"), objects.get("a/c.json")] == [{"n": 2}, {"n": 4}]
    assert objects.uri("a/b.json") == "s3://bucket/root/a/b.json"
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["b.json", "c.json"]


@pytest.mark.parametrize("key", ["", "/x", "a//b", "../x", "a/../../x", "a/."])
def test_a_key_stays_below_the_root(key: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no key"):
        FileObjectStore(tmp_path, "s3://b").put(key, {})


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_damaged_document_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(StepFailed, match=r"state\.json"):
        FileStateStore(tmp_path).read()


WRITER = """
import sys
from pathlib import Path
from ctc.steps.local import FileObjectStore, FileStateStore
store, objects = FileStateStore(Path(sys.argv[1])), FileObjectStore(Path(sys.argv[1]), "s3://b")
number = 0
while True:
    number += 1
    held = store.read()
    store.compare_and_set(held.token, {"n": (held.document or {"n": 0})["n"] + 1, "end": "x" * 200_000})
    objects.put_once(f"records/{store.read().document['n']}.json", {"end": "x" * 200_000})
    print(store.read().document["n"], flush=True)
"""


def test_a_kill_at_any_moment_leaves_readable_documents(tmp_path: Path) -> None:
    reached = 0
    for seed in range(20):
        process = child(WRITER, tmp_path)
        assert process.stdout is not None
        reached = max(reached, int(process.stdout.readline()))
        time.sleep(random.Random(seed).uniform(0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        reached = max([reached, *map(int, process.stdout.read().split())])
        process.stdout.close()
        process.wait()

        document = json.loads((tmp_path / "state.json").read_text())
        assert document["n"] >= reached, f"seed {seed}: a write that was reported is gone"
        assert document["end"] == BIG
        for path in (tmp_path / "records").glob("*.json"):
            assert json.loads(path.read_text()) == {"end": BIG}, f"seed {seed}: {path.name}"
    assert reached >= 20


RIVAL = """
import sys, time
from pathlib import Path
from ctc.steps.local import FileStateStore
from ctc.steps.ports import Conflict
store, done, conflicts = FileStateStore(Path(sys.argv[1])), 0, 0
meeting = Path(sys.argv[2])
while done < 60:
    held = store.read()
    if done + conflicts == 0:
        # Both have read before either writes: one of them must meet the other's write.
        (meeting / sys.argv[3]).touch()
        while len(list(meeting.iterdir())) < 2:
            time.sleep(0.001)
    try:
        store.compare_and_set(held.token, {"n": (held.document or {"n": 0})["n"] + 1})
        done += 1
    except Conflict:
        conflicts += 1
print(conflicts)
"""


def test_two_rivals_lose_no_write(tmp_path: Path) -> None:
    store, meeting = tmp_path / "store", tmp_path / "meeting"
    meeting.mkdir()
    rivals = [child(RIVAL, store, meeting, name) for name in ("one", "other")]
    conflicts = sum(int(rival.communicate(timeout=60)[0]) for rival in rivals)

    assert FileStateStore(store).read().document == {"n": 120}
    assert conflicts > 0


@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_failed_write_keeps_the_old_document(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, objects = FileStateStore(tmp_path), FileObjectStore(tmp_path, "s3://b")
    token = store.compare_and_set(store.read().token, {"n": 1})
    objects.put("a.json", {"n": 1})

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number), "somewhere.tmp")

    with monkeypatch.context() as patch:
        patch.setattr(call, fail)
        with pytest.raises(OSError) as caught:
            store.compare_and_set(token, {"n": 2})
        assert (caught.value.errno, caught.value.filename) == (number, str(tmp_path / "state.json"))
        with pytest.raises(OSError):
            objects.put("a.json", {"n": 2})
        if call == "os.fsync":
            with pytest.raises(OSError):
                objects.put_once("new.json", {"n": 2})

    assert store.read().document == objects.get("a.json") == {"n": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "state.json", "state.lock"]
    assert store.compare_and_set(token, {"n": 2})


def test_a_disk_that_fills_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real short write: the kernel refuses beyond the limit of a file's size."""
    import resource

    objects = FileObjectStore(tmp_path, "s3://b")
    objects.put("a.json", {"n": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        with pytest.raises(OSError):
            objects.put("a.json", {"big": BIG})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert objects.get("a.json") == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_launches(tmp_path: Path) -> None:
    objects = FileObjectStore(tmp_path, "s3://b")
    launcher = LocalLauncher(objects)
    assert launcher.status("a-1") == "unknown"
    launcher.launch("a-1", {"attempt": "a"})
    launcher.launch("a-1", {"attempt": "other"})
    assert launcher.status("a-1") == "dead"
    assert objects.get("launches/a-1.json") == {
        "version": 1,
        "key": "a-1",
        "pipeline": "train",
        "parameters": {"attempt": "a"},
    }


def test_services_stand_on_the_mounted_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTC_MOUNTS", json.dumps({"s3://bucket/toy/default": str(tmp_path)}))
    services = local_services({"root": "s3://bucket/toy/default"})
    services.objects.put("records/a.json", {"n": 1})
    assert json.loads((tmp_path / "records" / "a.json").read_text()) == {"n": 1}
    assert services.objects.uri("absent") == "s3://bucket/toy/default/absent"


def test_registering_is_idempotent_and_quiet(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    database = tmp_path / "state" / "mlflow.db"

    def register(key: str) -> str:
        registry = MlflowRegistry(database)
        return registry.register("toy", key=key, uri=f"s3://b/{key}", tags={"ctc.image": "i"}, metrics={"auc": 0.75})

    assert [register("one"), register("two"), register("one")] == ["1", "2", "1"]
    registry = MlflowRegistry(database)
    registry.set_alias("toy", "champion", "1")
    registry.set_alias("toy", "champion", "2")
    registry.set_alias("toy", "champion", "2")

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{database}", f"sqlite:///{database}")
    version = client.get_model_version_by_alias("toy", "champion")
    assert (version.version, version.source, version.tags["ctc.key"]) == (2, "s3://b/two", "two")
    run = client.get_run(version.run_id)
    assert (run.data.metrics, run.data.params, run.info.status) == ({"auc": 0.75}, {"ctc.image": "i"}, "FINISHED")
    assert len(client.search_model_versions("name = 'toy'")) == 2
    assert capfd.readouterr() == ("", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]


def test_an_alias_that_is_right_costs_no_mlflow(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    MlflowRegistry(database).register("toy", key="one", uri="s3://b/m", tags={}, metrics={})
    MlflowRegistry(database).set_alias("toy", "champion", "1")
    program = (
        "import sys; from pathlib import Path; from ctc.steps.local_registry import MlflowRegistry\n"
        "MlflowRegistry(Path(sys.argv[1])).set_alias('toy', 'champion', '1'); print('mlflow' in sys.modules)"
    )
    assert child(program, database).communicate(timeout=60)[0] == "False\n"


def test_without_mlflow_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(StepFailed, match=r"pip install 'ctc-compiler\[runtime\]'"):
        MlflowRegistry(tmp_path / "mlflow.db").set_alias("toy", "champion", "1")
