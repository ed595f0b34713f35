"""The local run against a fake target: the order of wakes and trainings, locks, leftovers, failures, the machine."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ctc import targets
from ctc.compiler.target import Execution, Machine
from ctc.diagnostics import CtcError
from ctc.language.spec import (  # fmt: skip
    Columns,
    Evaluation,
    Holdout,
    Label,
    Parquet,
    Promotion,
    Retraining,
    Source,
    Spec,
    Training,
    TriggerPolicy,
)
from ctc.run import machine as machines
from ctc.run.local import Deployment, Ran, parse_instant, rehearse
from ctc.run.progress import Silent
from ctc.run.records import state_folder

ROOT = "s3://acme-ct/toy/default/kubeflow"
MAY, JUNE = datetime(2024, 5, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
FILES = {
    "pipeline.yaml": b"steps",
    "manifest.json": json.dumps(
        {"version": 1, "root": ROOT, "files": {"pipeline.yaml": hashlib.sha256(b"steps").hexdigest()}}
    ).encode(),
}


def make_spec(**training: Any) -> Spec:
    return Spec(
        name="toy",
        description="",
        owner="tests",
        mode="act",
        task="binary",
        runtime_image="registry.example/ctc",
        sources=(Source("visits", "rows", Parquet("data/visits.parquet")),),
        label=Label("visits", "bought", timedelta(0), "drop"),
        columns=Columns(),
        checks=(),
        training=Training(".", "registry.example/toy", ("python", "train.py"), ("python", "predict.py"), **training),
        retraining=Retraining("full", timedelta(days=30), None, Holdout(timedelta(days=7))),
        evaluation=Evaluation(()),
        promotion=Promotion(()),
        triggers=(),
        trigger_policy=TriggerPolicy(),
        targets={"kubeflow": {"bucket": "acme-ct"}},
        environment="default",
    )


class Fake:
    """A target whose wake launches `attempts` trainings at each instant, one after the other."""

    def __init__(self, attempts: int = 1) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.machines: list[Machine] = []
        self.attempts = attempts
        self.wake_error = ""
        self.train: Callable[[Path, str], Execution] = self.succeed

    def execute(self, bundle_dir: Path, pipeline: str, parameters: Mapping[str, str], machine: Machine) -> Execution:
        assert (bundle_dir / "manifest.json").is_file()
        assert machine.scratch.is_dir()
        self.calls.append((pipeline, dict(parameters)))
        self.machines.append(machine)
        state = machine.mounts[ROOT]
        if pipeline == "train":
            return self.train(state, parameters["attempt"])
        if self.wake_error:
            return Execution(False, ("wake",), self.wake_error)
        day = parameters["instant"][:10]
        done = len(list((state / "launches").glob(f"{day}-*.ended.json")))
        if done < self.attempts:
            put(state / "launches" / f"{day}-{done}.json", {"key": "", "parameters": {"attempt": f"{day}-{done}"}})
        return Execution(True, ("wake",))

    @staticmethod
    def succeed(state: Path, attempt: str) -> Execution:
        os.write(1, b"the step speaks\n")
        os.write(2, b"its child too\n")
        put(state / "attempts" / attempt / "results" / "snapshot.json", {"status": "ok"})
        put(state / "records" / f"{attempt}.json", attempt_record(attempt, "candidate"))
        return Execution(True, ("snapshot", "record"))


def attempt_record(id: str, outcome: str, **parts: Any) -> dict[str, Any]:
    return {"id": id, "kind": "attempt", "instant": f"{id[:10]}T00:00:00Z", "outcome": outcome, **parts}


def put(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    fake = Fake()
    monkeypatch.setattr(targets, "load_rehearsal", lambda name: fake.execute)
    return fake


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    folder = tmp_path / "toy"
    (folder / "data").mkdir(parents=True)
    for script in ("train.py", "predict.py"):
        (folder / script).write_text(f"print('{script[:-3]}')")
    (folder / "data" / "visits.parquet").write_text("PAR1 rows PAR1")
    spec = make_spec()
    return Deployment(spec, folder, "kubeflow", state_folder(folder, spec, "kubeflow"))


def run(deployment: Deployment, *instants: datetime, **options: Any) -> Ran:
    return rehearse(deployment, instants, files=FILES, python=sys.executable, **options)


def test_each_instant_in_time_order_wakes_trains_and_wakes_again(fake: Fake, deployment: Deployment) -> None:
    ran = run(deployment, JUNE, MAY, JUNE)

    assert [(name, sent.get("attempt") or sent["instant"]) for name, sent in fake.calls] == [
        ("wake", "2024-05-01T00:00:00Z"),
        ("train", "2024-05-01-0"),
        ("wake", "2024-05-01T00:00:00Z"),
        ("wake", "2024-06-01T00:00:00Z"),
        ("train", "2024-06-01-0"),
        ("wake", "2024-06-01T00:00:00Z"),
    ]
    assert [record["id"] for record in ran.records] == ["2024-05-01-0", "2024-06-01-0"]
    assert ran.failure is None
    assert not (deployment.state / "scratch").exists()


def test_a_request_is_told_to_the_first_wake_only(fake: Fake, deployment: Deployment) -> None:
    run(deployment, MAY, manual={"who": "ann", "why": "a new feature"})

    asked = [sent["manual"] for name, sent in fake.calls if name == "wake"]
    assert json.loads(asked[0]) == {"who": "ann", "why": "a new feature"}
    assert asked[1:] == [""]


def test_a_wake_that_never_comes_to_rest_is_an_error(fake: Fake, deployment: Deployment) -> None:
    fake.attempts = 1000

    with pytest.raises(CtcError, match="after 10 wakes"):
        run(deployment, MAY)


def test_a_failed_training_is_recorded_then_told_with_its_words(fake: Fake, deployment: Deployment) -> None:
    def fail(state: Path, attempt: str) -> Execution:
        put(state / "records" / f"{attempt}.json", attempt_record(attempt, "failed", error="exit code 7: no disk"))
        return Execution(False, ("snapshot", "train"), "step train failed")

    fake.train = fail
    ran = run(deployment, MAY, JUNE)

    assert [name for name, _ in fake.calls] == ["wake", "train", "wake"]
    assert ran.failure is not None
    assert "step train failed" in ran.failure.message
    assert "exit code 7: no disk" in ran.failure.message
    assert ran.left == (JUNE,)
    assert [record["outcome"] for record in ran.records] == ["failed"]


def test_a_missing_module_is_told_with_the_interpreter_that_lacks_it(fake: Fake, deployment: Deployment) -> None:
    def fail(state: Path, attempt: str) -> Execution:
        error = "train failed: exit code 1\nModuleNotFoundError: No module named 'lightgbm'"
        put(state / "attempts" / attempt / "status" / "train.json", {"status": "failed", "error": error})
        return Execution(False, ("train",), error)

    fake.train = fail
    ran = run(deployment, MAY)

    assert ran.failure is not None
    assert f"under {sys.executable}, which has no module lightgbm" in ran.failure.message
    assert "--python EXE" in ran.failure.message


def test_what_is_missing_is_told_before_anything_is_written(fake: Fake, deployment: Deployment) -> None:
    (deployment.folder / "predict.py").unlink()
    with pytest.raises(CtcError, match="there is no script"):
        run(deployment, MAY)

    assert fake.calls == []
    assert not deployment.state.exists()


def test_an_earlier_instant_is_refused_before_anything_runs(fake: Fake, deployment: Deployment) -> None:
    put(deployment.state / "state.json", {"last_wake": "2024-06-01T00:00:00Z"})
    with pytest.raises(CtcError, match="instants only go forward"):
        run(deployment, MAY)

    assert fake.calls == []


def test_the_state_of_another_run_is_no_code(deployment: Deployment) -> None:
    folder, state = deployment.folder, deployment.state
    before = machines.store_code(deployment.spec, folder, state)
    for name in ("run.lock", "state.json"):
        (folder / "trial" / "toy").mkdir(parents=True, exist_ok=True)
        (folder / "trial" / "toy" / name).write_text("")

    assert machines.store_code(deployment.spec, folder, state) == before


def test_an_attempt_is_judged_by_its_last_start(fake: Fake, deployment: Deployment) -> None:
    """Its first start dies without a record, the second ends well."""

    def launch_again(state: Path, attempt: str) -> Execution:
        put(state / "launches" / "2024-05-01-second.json", {"parameters": {"attempt": attempt}})
        fake.train = Fake.succeed
        return Execution(False, (), "killed")

    fake.train = launch_again
    ran = run(deployment, MAY)

    assert ran.failure is None
    assert [record["outcome"] for record in ran.records] == ["candidate"]


def test_a_failed_wake_ends_the_run_with_the_last_lines_of_its_log(fake: Fake, deployment: Deployment) -> None:
    fake.wake_error = "wake failed: data/visits.parquet is not there"
    ran = run(deployment, MAY)

    assert ran.failure is not None
    assert "data/visits.parquet is not there" in ran.failure.message
    assert ran.failure.log == deployment.state / "wake.log"


def test_launches_that_a_killed_run_left_are_not_executed(fake: Fake, deployment: Deployment) -> None:
    put(deployment.state / "launches" / "old-1.json", {"parameters": {"attempt": "old"}})
    run(deployment, MAY)

    assert "old" not in [sent.get("attempt") for _, sent in fake.calls]
    assert json.loads((deployment.state / "launches" / "old-1.ended.json").read_text())["ok"] is False


def test_the_output_of_steps_goes_to_the_log_of_the_attempt(
    fake: Fake, deployment: Deployment, capfd: pytest.CaptureFixture[str]
) -> None:
    run(deployment, MAY)
    log = (deployment.state / "attempts" / "2024-05-01-0" / "log.txt").read_text()

    assert "the step speaks" in log
    assert "its child too" in log
    assert "speaks" not in "".join(capfd.readouterr())


def test_echo_shows_the_output_too(fake: Fake, deployment: Deployment, capfd: pytest.CaptureFixture[str]) -> None:
    run(deployment, MAY, echo=True)

    assert "its child too" in capfd.readouterr().err


def test_steps_are_told_as_they_end_with_their_seconds(fake: Fake, deployment: Deployment) -> None:
    told: list[tuple[str, str, float]] = []

    class Listener(Silent):
        def step_ended(self, step: str, status: str, seconds: float) -> None:
            told.append((step, status, seconds))

    def train(state: Path, attempt: str) -> Execution:
        put(state / "attempts" / attempt / "status" / "train.json", {"status": "failed", "seconds": 12.5})
        return Fake.succeed(state, attempt)

    fake.train = train
    run(deployment, MAY, progress=Listener())

    assert {(step, status) for step, status, _ in told} == {("snapshot", "ok"), ("train", "failed")}
    assert 12.5 in [seconds for _, _, seconds in told]


def test_a_second_run_on_one_state_is_refused_by_the_number_of_the_first(fake: Fake, deployment: Deployment) -> None:
    deployment.state.mkdir(parents=True)
    with (deployment.state / "run.lock").open("w") as lock:
        lock.write("4711")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(CtcError, match="4711"):
            run(deployment, MAY)

    assert fake.calls == []
    assert run(deployment, MAY).failure is None


def test_an_interrupt_leaves_no_process_and_no_lock(fake: Fake, deployment: Deployment) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def interrupted(state: Path, attempt: str) -> Execution:
        started.append(
            subprocess.Popen(["sleep", "600"], env=dict(fake.machines[-1].environment), start_new_session=True)
        )
        raise KeyboardInterrupt

    fake.train = interrupted
    with pytest.raises(KeyboardInterrupt):
        run(deployment, MAY)

    assert started[0].wait(10) == -9
    fake.train = Fake.succeed
    assert run(deployment, JUNE).failure is None


def test_a_state_folder_that_takes_no_writes_is_told(
    fake: Fake, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> str:
        raise OSError(28, os.strerror(28), str(deployment.state / "code"))

    monkeypatch.setattr("ctc.run.local.store_code", full)
    with pytest.raises(CtcError, match="No space left on device") as caught:
        run(deployment, MAY)

    assert "--state" in caught.value.help


def test_the_dispatchers_send_our_steps_to_us_and_the_rest_to_the_user(
    fake: Fake, deployment: Deployment, tmp_path: Path
) -> None:
    theirs = tmp_path / "their python"
    theirs.write_text('#!/bin/sh\n[ "$1" = -c ] && { echo 3.9; exit; }\necho "theirs: $*"\n')
    theirs.chmod(0o755)
    rehearse(deployment, [MAY], files=FILES, python=str(theirs))
    environment = dict(fake.machines[0].environment)

    def say(*words: str) -> str:
        return subprocess.run(words, env=environment, capture_output=True, text=True, cwd=tmp_path).stdout

    (tmp_path / "json.py").write_text("raise SystemExit('a file of the user stands in for a module')")
    assert say("python3", "train.py", "a b") == "theirs: train.py a b\n"
    assert say("python", "-m", "train") == "theirs: -m train\n"
    assert "Runs one step" in say("python3", "-m", "ctc.step", "--help")


@pytest.mark.parametrize("words", [["decide"], ["--help"], ["no-such-step"]])
def test_a_step_answers_the_same_in_an_interpreter_that_is_ready(
    words: list[str], fake: Fake, deployment: Deployment
) -> None:
    def say() -> tuple[int, str, str]:
        environment = dict(fake.machines[-1].environment)
        command = ["python3", "-m", "ctc.step", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=deployment.folder)
        return done.returncode, done.stdout, done.stderr

    during: list[tuple[int, str, str]] = []

    def train(state: Path, attempt: str) -> Execution:
        assert sorted(path.name for path in (state / "warm").iterdir()) == ["engine", "registry"]
        during.append(say())
        return fake.succeed(state, attempt)

    fake.train = train
    run(deployment, MAY)

    assert not (deployment.state / "warm").exists()
    assert during == [say()]


def test_the_machine_says_what_the_steps_need(fake: Fake, deployment: Deployment) -> None:
    run(deployment, MAY)
    wake, train, _ = fake.machines
    code = train.environment["CTC_CODE"]

    assert json.loads(train.environment["CTC_MOUNTS"]) == {ROOT: str(deployment.state)}
    assert (Path(train.environment["CTC_CODE_STORE"]) / code / "train.py").read_text() == "print('train')"
    assert train.environment["CTC_STATUS_DIR"] == str(deployment.state / "attempts" / "2024-05-01-0" / "status")
    assert train.working == deployment.folder
    assert wake.environment["CTC_DIE_WITH_PARENT"] == "1"


def test_code_is_stored_by_its_contents_without_data_and_leavings(deployment: Deployment) -> None:
    folder, state = deployment.folder, deployment.state
    for name in (".git/HEAD", "__pycache__/train.pyc", "env/pyvenv.cfg", ".ctc/toy/x", "lib/util.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "lib" / "loop").symlink_to(folder)
    first = machines.store_code(deployment.spec, folder, state)
    stored = {path.relative_to(state / "code" / first).as_posix() for path in (state / "code" / first).rglob("*.*")}

    assert stored == {"train.py", "predict.py", "lib/util.py"}
    assert machines.store_code(deployment.spec, folder, state) == first
    (folder / "train.py").write_text("print('changed')")
    assert machines.store_code(deployment.spec, folder, state) != first
    assert not list((state / "code").glob(".partial*"))


def test_a_code_folder_full_of_data_is_refused(deployment: Deployment) -> None:
    with (deployment.folder / "big.bin").open("wb") as file:
        file.truncate(machines.MAX_CODE_BYTES + 1)
    with pytest.raises(CtcError, match="more than 100 MB"):
        machines.store_code(deployment.spec, deployment.folder, deployment.state)

    missing = replace(deployment.spec, training=replace(deployment.spec.training, code="nowhere"))
    with pytest.raises(CtcError, match="is not a folder"):
        machines.store_code(missing, deployment.folder, deployment.state)


@pytest.mark.parametrize(
    ("script", "says"),
    [("echo 3.6", "3.6"), ("echo no; exit 3", "exit code 3"), ("", "no Python")],
)
def test_an_interpreter_that_will_not_do_is_told(script: str, says: str, tmp_path: Path) -> None:
    exe = tmp_path / "exe"
    exe.write_text(f"#!/bin/sh\n{script}\n")
    exe.chmod(0o755)
    with pytest.raises(CtcError, match=says):
        machines.user_python(str(exe), tmp_path)


def test_the_interpreter_beside_the_spec_comes_before_the_one_on_path(tmp_path: Path) -> None:
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)

    assert machines.user_python(None, tmp_path) == str(tmp_path / ".venv" / "bin" / "python")
    with pytest.raises(CtcError, match="no such program"):
        machines.user_python("no-such-python", tmp_path)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2013-03-10T06:00:00Z", datetime(2013, 3, 10, 6, tzinfo=UTC)),
        ("2013-03-10T06:00:00-04:00", datetime(2013, 3, 10, 10, tzinfo=UTC)),
        ("2013-03-10", datetime(2013, 3, 10, tzinfo=UTC)),
    ],
)
def test_instants(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant


@pytest.mark.parametrize("text", ["2013-03-10T06:00:00", "yesterday", "2013-13-10", ""])
def test_instants_that_are_none(text: str) -> None:
    with pytest.raises(CtcError) as caught:
        parse_instant(text)

    assert "2013-03-10T06:00:00Z" in caught.value.help


def test_a_report_overwrites_nothing_but_a_report(tmp_path: Path) -> None:
    """A spec, a device, a folder or a link given as --report is refused before anything runs."""
    import click

    from ctc.cli.run import _require_page

    (tmp_path / "ctc.yaml").write_text("apiVersion: ctc/v1\n")
    (tmp_path / "old.html").write_text("<!doctype html><title>a report</title>")
    (tmp_path / "link.html").symlink_to(tmp_path / "old.html")
    _require_page(tmp_path / "old.html")
    _require_page(tmp_path / "new.html")

    for path in (
        tmp_path / "ctc.yaml",
        tmp_path,
        tmp_path / "link.html",
        Path("/dev/null"),
        tmp_path / "ctc.yaml" / "x",
    ):
        with pytest.raises(click.UsageError):
            _require_page(path)


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31T23:59:59-12:00"])
def test_the_ends_of_the_calendar_are_refused(text: str) -> None:
    with pytest.raises(CtcError, match="out of range"):
        parse_instant(text)
