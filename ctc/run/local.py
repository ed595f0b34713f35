"""The local run: executes the compiled pipelines on this machine, at one instant after the other.

For each instant: a wake, then every training that it launched, then a wake again, until a wake launches nothing. What
decides is in the artifacts; this module only stands in for the platform that would start them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from ctc import targets
from ctc.compiler.target import Execution
from ctc.compiler.write import MANIFEST, differences, write
from ctc.diagnostics import CtcError
from ctc.language.spec import Spec
from ctc.policy.windows import format_instant
from ctc.run.machine import LOCK, machine, store_code
from ctc.run.preflight import Where, forward, missing_module, ready
from ctc.run.processes import end_children
from ctc.run.progress import Progress, Silent
from ctc.run.records import Record, mapping, read_document, read_records, state_folder
from ctc.run.warm import Warm
from ctc.run.watch import Watch, logged, tail
from ctc.steps.handover import ENGINE, REGISTRY, RUNNER
from ctc.steps.local import FileObjectStore
from ctc.steps.results import SCORE

MAX_WAKES = 10
"""Wakes at one instant. An attempt is started at most three times, so a sound state needs at most five."""


@dataclass(frozen=True)
class Deployment:
    """One spec in one environment, run as one target. `folder` is the spec's, `state` as `state_folder` says."""

    spec: Spec
    folder: Path
    target: str
    state: Path

    @property
    def bundle(self) -> Path:
        return self.state / "bundle"


@dataclass(frozen=True)
class Failure:
    """What went wrong, in the words of the step that failed, and where its whole output is."""

    message: str
    log: Path


@dataclass(frozen=True)
class Ran:
    """The records that a run made, in order. `failure` is None if every step of it ended well.

    A run ends after the instant at which something failed; `left` are the instants that it did not come to.
    """

    records: tuple[Record, ...]
    failure: Failure | None = None
    left: tuple[datetime, ...] = ()


@dataclass(frozen=True)
class _Start:
    """One execution of a pipeline, and where its output is kept."""

    pipeline: str
    parameters: Mapping[str, str]
    log: Path
    attempt: str = ""


@dataclass
class _Session:
    """A run under way. `known` are the ids of the records that have been told."""

    deployment: Deployment
    root: str
    python: str
    code: str
    progress: Progress
    echo: bool
    warm: Warm
    known: set[str] = field(default_factory=set)
    records: list[Record] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.deployment.state

    @property
    def objects(self) -> FileObjectStore:
        return FileObjectStore(self.state, self.root)


def parse_instant(text: str) -> datetime:
    """An instant of the command line: ISO 8601 with a zone, or a date, which means its midnight in UTC."""
    advice = "write an instant with its zone, 2013-03-10T06:00:00Z, or a date, 2013-03-10"
    with contextlib.suppress(ValueError):
        day = date.fromisoformat(text)
        text = f"{day.isoformat()}T00:00:00Z"
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise CtcError(f"`{text}` is no instant", advice) from error
    if instant.tzinfo is None:
        raise CtcError(f"`{text}` does not say its zone", advice)
    # Windows reach back from the instant, so the ends of the calendar are no instants to run at.
    if not 1970 < instant.year < 9000:
        raise CtcError(f"`{text}` is out of range", advice)
    return instant.astimezone(UTC)


def rehearse(
    deployment: Deployment,
    instants: Sequence[datetime],
    *,
    files: Mapping[str, bytes] | None = None,
    python: str | None = None,
    manual: Mapping[str, Any] | None = None,
    event: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    echo: bool = False,
    where: Where | None = None,
) -> Ran:
    """Runs every instant, earliest first; one given twice runs once.

    `files` is the compiled bundle; without it the bundle in the state folder runs as it stands. `manual` is a person's
    request (`who`, `why`, maybe `do`) and `event` an alert from outside, both heard at the first instant. `echo` lets
    the steps' output through to stderr, beside the logs.
    `where` finds the places in the spec of what is not ready.

    Raises CtcError if the run cannot start: another run holds the state, something is missing on this machine, a folder
    that takes no writes. A step that fails is no exception, but `Ran.failure`.
    """
    ordered = sorted(set(instants))
    interpreter = ready(deployment.spec, deployment.folder, deployment.target, python, where)
    with _writable(deployment.state), _locked(deployment.state), Warm(deployment.state) as warm:
        # A run that was killed may have left processes that have not noticed yet.
        end_children(deployment.state)
        forward(deployment.state, ordered[0])
        _cancel_stale_launches(deployment.state)
        _place_bundle(deployment, files)
        session = _Session(
            deployment,
            root=str(_manifest(deployment)["root"]),
            python=interpreter,
            code=store_code(deployment.spec, deployment.folder, deployment.state),
            progress=progress or Silent(),
            echo=echo,
            warm=warm,
        )
        session.known |= {str(record["id"]) for record in read_records(deployment.state).items}
        told = {"manual": _text(_with_code(manual, session.code)), "event": _text(event)}
        for instant in ordered:
            failure = _cycle(session, instant, told)
            told = {}
            if failure is not None:
                return Ran(tuple(session.records), failure, tuple(later for later in ordered if later > instant))
        return Ran(tuple(session.records))


def run_bundle(spec: Path, target: str, instant: str, *, python: str) -> list[dict[str, Any]]:
    """Runs the bundle that stands in the state folder of `spec`, without compiling; returns the records it made."""
    from ctc.language.load import load_spec

    loaded = load_spec(spec, None, target)
    if loaded.spec is None:
        raise CtcError(f"{spec} has errors", "see them with: ctc validate")
    folder = spec.absolute().parent
    deployment = Deployment(loaded.spec, folder, target, state_folder(folder, loaded.spec, target))
    ran = rehearse(deployment, [parse_instant(instant)], python=python)
    if ran.failure is not None:
        raise CtcError(ran.failure.message, f"the whole output is in {ran.failure.log}")
    return [dict(record) for record in ran.records]


def _with_code(manual: Mapping[str, Any] | None, code: str) -> Mapping[str, Any] | None:
    """A model that is adopted without code of its own predicts with the spec's, as it is now."""
    if manual is None or "version" not in manual or manual["version"].get("code"):
        return manual
    return {**manual, "version": {**manual["version"], "code": code}}


def _text(document: Mapping[str, Any] | None) -> str:
    return "" if document is None else json.dumps(dict(document))


def _cycle(session: _Session, instant: datetime, told: Mapping[str, str]) -> Failure | None:
    """Wakes, trains and scores at one instant until nothing is left to do; what failed is told afterwards."""
    session.progress.instant(instant)
    failures: dict[str, Failure | None] = {}
    for _ in range(MAX_WAKES):
        parameters = {"instant": format_instant(instant), "manual": "", "event": "", **told}
        told = {}
        start = _Start("wake", parameters, session.state / "wake.log")
        execution = _execute(session, start)
        news = _news(session)
        if execution.ok:
            session.progress.woke(news, _said(start.log))
        else:
            return Failure(_explain(start, execution, session.state / "scratch"), start.log)
        pending = _pending(session.state)
        if not pending:
            return next(filter(None, failures.values()), None)
        for key, launch in pending.items():
            # An attempt that is started again is judged by its last start.
            failures[_attempt(key, launch)] = _launched(session, key, launch)
    raise CtcError(
        f"after {MAX_WAKES} wakes at {format_instant(instant)} there is still something to start",
        f"the state is consistent; look into {session.state}, or start afresh with another --state",
    )


def _launched(session: _Session, key: str, launch: Record) -> Failure | None:
    """Runs what a wake has launched, a training or a batch job: both are kept below `attempts`."""
    parameters = {str(name): str(value) for name, value in mapping(launch, "parameters").items()}
    attempt = _attempt(key, launch)
    pipeline = str(launch.get("pipeline") or "train")
    start = _Start(pipeline, parameters, session.state / "attempts" / attempt / "log.txt", attempt)
    if pipeline.startswith(SCORE):
        session.progress.scoring(attempt, pipeline.removeprefix(SCORE))
    else:
        session.progress.training(attempt)
    watch = Watch(session.state / "attempts" / attempt, session.progress)
    with watch:
        execution = _execute(session, start)
    session.objects.put(f"launches/{key}.ended.json", {"version": 1, "key": key, "ok": execution.ok})
    record = next((item for item in _news(session) if item["id"] == attempt), None)
    session.progress.trained(record, watch.seconds)
    if execution.ok and (record is None or record.get("outcome") != "failed"):
        return None
    message = _explain(start, execution, watch.status, str((record or {}).get("error", "")))
    advice = missing_module(_errors(watch.status), session.python)
    return Failure(f"{message}\n{advice}" if advice else message, start.log)


def _attempt(key: str, launch: Record) -> str:
    return str(mapping(launch, "parameters").get("attempt", key))


def _execute(session: _Session, start: _Start) -> Execution:
    """One execution of a pipeline; whatever it started is gone when this returns or raises."""
    scratch = session.state / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    here = machine(
        session.state,
        root=session.root,
        working=session.deployment.folder,
        python=session.python,
        code=session.code,
        status=session.state / "attempts" / start.attempt / "status" if start.attempt else scratch,
        scratch=scratch,
    )
    execute = targets.load_rehearsal(session.deployment.target)
    runner = getattr(sys.modules[execute.__module__], "RUNNER", "")
    if runner:
        session.warm.prepare(RUNNER, here.environment, runner)
    session.warm.prepare(ENGINE, here.environment)
    if start.pipeline == "train":
        session.warm.prepare(REGISTRY, here.environment)
    try:
        with logged(start.log, append=bool(start.attempt), echo=session.echo):
            return execute(session.deployment.bundle, start.pipeline, dict(start.parameters), here)
    except BaseException:
        end_children(session.state)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _said(log: Path) -> str:
    """The summary with which a wake ends: `ctc: wake: ok; …`."""
    lines = [line for line in tail(log).splitlines() if line.startswith("ctc: wake: ok; ")]
    return lines[-1].partition("; ")[2] if lines else ""


def _explain(start: _Start, execution: Execution, status: Path, error: str = "") -> str:
    """The failed step in its own words: what the execution says, what the steps said of themselves, else the log."""
    said = [execution.error.strip(), error.strip()]
    said += _errors(status)
    told: list[str] = []
    for text in filter(None, said):
        if not any(text in other for other in told):
            told = [other for other in told if other not in text] + [text]
    called = "batch job" if start.pipeline.startswith(SCORE) else "attempt"
    what = f"{called} {start.attempt}" if start.attempt else f"the wake at {start.parameters['instant']}"
    return f"{what} failed: " + ("\n".join(told) or "it gave no reason; its last lines:\n" + tail(start.log))


def _errors(status: Path) -> list[str]:
    """What the user's steps said of their failures."""
    return [str((read_document(file) or {}).get("error", "")).strip() for file in sorted(status.glob("*.json"))]


def _news(session: _Session) -> list[Record]:
    """The records that appeared since the last look; they are part of the run from then on."""
    news = [record for record in read_records(session.state).items if record["id"] not in session.known]
    session.known |= {str(record["id"]) for record in news}
    session.records += news
    return news


def _pending(state: Path) -> dict[str, Record]:
    """Launches that nobody has executed, by key."""
    folder = state / "launches"
    return {
        path.stem: read_document(path) or {}
        for path in sorted(folder.glob("*.json"))
        if not path.name.endswith(".ended.json") and not (folder / f"{path.stem}.ended.json").exists()
    }


def _cancel_stale_launches(state: Path) -> None:
    """A run that was killed leaves launches behind. They are over: the next wake starts the attempt again itself."""
    for key in _pending(state):
        FileObjectStore(state, "").put(f"launches/{key}.ended.json", {"version": 1, "key": key, "ok": False})


def _place_bundle(deployment: Deployment, files: Mapping[str, bytes] | None) -> None:
    if files is None:
        return
    if differences(files, deployment.bundle):
        # The folder is this run's own: what an earlier run, or a write that was cut short, left there is not kept.
        shutil.rmtree(deployment.bundle, ignore_errors=True)
    write(files, deployment.bundle)


def _manifest(deployment: Deployment) -> Record:
    document = read_document(deployment.bundle / MANIFEST)
    if document is None or "root" not in document:
        raise CtcError(f"{deployment.bundle} holds no bundle", "compile and run the spec with: ctc run SPEC")
    return document


@contextlib.contextmanager
def _writable(state: Path) -> Iterator[None]:
    """Makes the state folder; a disk that is full or read-only is told with what to do about it."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.filename is None or str(state) not in str(error.filename):
            raise
        raise CtcError(
            f"{error.filename}: {error.strerror}",
            "free some space or name another state folder with --state DIR; what was written before is intact",
        ) from error


@contextlib.contextmanager
def _locked(state: Path) -> Iterator[None]:
    """Holds the state folder for this process; the lock goes with the process, however it ends."""
    with (state / LOCK).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            holder = lock.read().strip() or "of unknown number"
            raise CtcError(
                f"another run holds {state}: process {holder}",
                "wait for it to end, or run in another state folder with --state DIR",
            ) from error
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
