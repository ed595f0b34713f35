"""What the programs share that run in the user's image: artifacts, folders, files and what becomes of a failure.

Standard library only, Python 3.7 or newer. Read before `shim.py` in one text: see `targets/shim.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
from typing import Any

MOUNTED = (("gs://", "/gcs/"), ("s3://", "/s3/"), ("minio://", "/minio/"), ("file://", ""), ("", ""))


class Failed(Exception):
    """The message is for a person, `code` is the process's."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def artifact_path(artifact: dict[str, Any]) -> str:
    """The local folder of one artifact of an executor input, where Kubeflow and Vertex mount it."""
    if artifact.get("customPath"):
        return str(artifact["customPath"])
    uri = str(artifact["uri"])
    mounts = [(root.rstrip("/") + "/", path) for root, path in json.loads(os.environ.get("CTC_MOUNTS") or "{}").items()]
    for prefix, folder in [*mounts, *MOUNTED]:
        if (uri + "/").startswith(prefix):
            return os.path.join(str(folder), uri[len(prefix) :])
    raise AssertionError("the empty prefix matches")


def artifact_folders(side: dict[str, Any]) -> dict[str, str]:
    return {name: artifact_path(listed["artifacts"][0]) for name, listed in side.get("artifacts", {}).items()}


def artifact_reports(outputs: dict[str, Any]) -> dict[str, Any]:
    """The output artifacts as `executor_output.json` names them."""
    reports = {}
    for name, listed in outputs.get("artifacts", {}).items():
        first = listed["artifacts"][0]
        artifact = {"name": first.get("name", name), "uri": first["uri"], "metadata": first.get("metadata", {})}
        reports[name] = {"artifacts": [artifact]}
    return reports


def write_json(path: str, document: object) -> None:
    """A reader sees the whole document or none."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path + ".tmp", "w", encoding="utf-8") as file:
        json.dump(document, file)
    os.replace(path + ".tmp", path)


def die_with_parent() -> None:
    """Where `CTC_DIE_WITH_PARENT` asks for it, on Linux: no orphan goes on writing after its parent was killed."""
    if os.environ.get("CTC_DIE_WITH_PARENT") == "1" and sys.platform.startswith("linux"):
        import ctypes

        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # 1 is PR_SET_PDEATHSIG


def empty(folder: str) -> None:
    """Removes what is in a folder, not the folder: it may be a mount."""
    os.makedirs(folder, exist_ok=True)
    for path in [os.path.join(folder, name) for name in os.listdir(folder)]:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.remove(path)


def files_below(folder: str) -> list[str]:
    """Relative paths of the files below a folder, with `/`, in the order of their bytes."""
    found = []
    for here, _, names in os.walk(folder, followlinks=True):
        found += [os.path.relpath(os.path.join(here, name), folder).replace(os.sep, "/") for name in names]
    return sorted(found, key=os.fsencode)


def sha256(path: str) -> str:
    """Of a file, or of a folder: of what `sha256sum` prints of its files, in the order of their paths."""
    digest = hashlib.sha256()
    if os.path.isdir(path):
        for name in files_below(path):
            digest.update(("%s  %s\n" % (sha256(os.path.join(path, name)), name)).encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def verified(name: str, path: str, wanted: str) -> str:
    """The path of an input that is what its digest says: a platform may hand over one file as the folder around it."""
    if not os.path.exists(path):
        raise Failed("the input `%s` is not there: %s does not exist" % (name, path))
    found = sha256(path)
    if "sha256:" + found == wanted:
        return path
    single = files_below(path) if os.path.isdir(path) else []
    if len(single) == 1 and "sha256:" + sha256(os.path.join(path, single[0])) == wanted:
        return os.path.join(path, single[0])
    raise Failed("the input `%s` is not what the spec says: it is sha256:%s, not %s" % (name, found, wanted))

"""Runs one command of the user's, in the user's image: standard library only, Python 3.7 or newer, one text.

That text travels inside the artifacts. It fills the placeholders of the command with folders, retries it, ends it
when its time is up, and says in one message what went wrong. The folders come from Kubeflow's executor input
(`--executor_input JSON`), or from one `--input name=FOLDER` / `--output name=FOLDER` each. The command stands after
`--`; without one it is the champion's, from `request.json` in the input `request`. Rows that a version prepares are
prepared first, by its own `apply` and what its own `fit` learnt, which its model's folder holds.
"""


import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any, Callable, NamedTuple


LAST_LINES, TAIL_BYTES, GRACE_SECONDS, TIMED_OUT = 20, 16384, 5.0, 124
PREDICTIONS, COLUMNS = "predictions.parquet", "columns.parquet"
ABSENT, NOT_COMPARABLE = "absent.json", "not_comparable.json"
PREPARED, ROWS = "ctc-prepared", "rows"
INPUT, READY = "input_", "ready_"


class Work(NamedTuple):
    """What one try does. `apply` prepares rows, and is empty if nothing does; `files` are digests by input."""

    argv: list[str]
    apply: list[str]
    code: str
    files: dict[str, str]
    checkpoints: str


class Places(NamedTuple):
    """Folders by name, and what `executor_output.json` must say of the output artifacts."""

    inputs: dict[str, str]
    outputs: dict[str, str]
    report: dict[str, Any]


def fill(argv: list[str], folders: dict[str, str]) -> list[str]:
    """Replaces each `{name}` by its folder; Failed for a name that is no input or output of this step."""

    def folder(match: re.Match[str]) -> str:
        if match.group(1) not in folders:
            known = ", ".join("{%s}" % name for name in sorted(folders))
            raise Failed("unknown placeholder %s in %r; this step has %s" % (match.group(0), match.string, known))
        return folders[match.group(1)]

    return [re.sub(r"\{([A-Za-z_][A-Za-z0-9_.-]*)\}", folder, word) for word in argv]


def end_group(process: subprocess.Popen[bytes], number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


RUNNING: list[subprocess.Popen[bytes]] = []
"""The command that runs now."""
STOPPED: list[int] = []
"""Not empty from when the platform ended the job: no other try begins."""


def obey(number: int, _: object) -> None:
    """The platform ends the job: the command is told, and may save what it has."""
    STOPPED.append(number)
    for process in RUNNING:
        end_group(process, signal.SIGTERM)


def started(argv: list[str], cwd: str | None, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    pipes.update(cwd=cwd, env=environment, start_new_session=True, preexec_fn=die_with_parent)
    try:
        return subprocess.Popen(argv, **pipes)
    except OSError as error:
        raise Failed("cannot run %r: %s; is it in the image and on PATH?" % (argv[0], error.strerror), 127) from error


def streamed(process: subprocess.Popen[bytes], lines: bool = False) -> tuple[threading.Thread, bytearray]:
    """Passes a process's output on as it comes, or in whole `lines`; its end is kept in what is returned."""
    assert process.stdout is not None
    tail, output = bytearray(), process.stdout.fileno()

    def stream() -> None:
        rest = b""
        for chunk in iter(lambda: os.read(output, 65536), b""):
            tail.extend(chunk)
            del tail[:-TAIL_BYTES]
            if lines:
                head, end, rest = (rest + chunk).rpartition(b"\n")
                chunk, rest = (head + end + rest, b"") if len(rest) > TAIL_BYTES else (head + end, rest)
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        sys.stdout.buffer.write(rest + b"\n" if rest else b"")
        sys.stdout.buffer.flush()

    reader = threading.Thread(target=stream, daemon=True)
    reader.start()
    return reader, tail


def last_lines_of(tail: bytearray) -> str:
    return "\n".join(tail.decode("utf-8", "replace").splitlines()[-LAST_LINES:])


def run_once(argv: list[str], cwd: str | None, environment: dict[str, str], timeout: float) -> tuple[int | None, str]:
    """Exit code (None: time was up) and the last lines of the output, which is streamed through meanwhile."""
    signal.signal(signal.SIGTERM, obey)
    process = started(argv, cwd, environment)
    RUNNING[:] = [process]
    if STOPPED:
        end_group(process, signal.SIGTERM)
    reader, tail = streamed(process)
    try:
        code = process.wait(timeout or None)
    except subprocess.TimeoutExpired:
        code = None
        end_group(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    # Also after a normal end: what the command left running must not write into the folders later.
    end_group(process, signal.SIGKILL)
    process.wait()
    RUNNING.clear()
    reader.join(GRACE_SECONDS)
    return code, last_lines_of(tail)


def kept_folder(work: Work, scratch: str) -> str:
    """The folder of the checkpoints. Only a command that asks for it fails where there can be none."""
    try:
        os.makedirs(work.checkpoints, exist_ok=True)
        return os.path.abspath(work.checkpoints)
    except OSError as error:
        said = "checkpoints cannot be kept: %s: %s" % (work.checkpoints, error.strerror)
        if any("{checkpoints}" in word for word in work.argv):
            raise Failed(said + "; mount the object store there, writable", 1) from error
        print("ctc: " + said, flush=True)
    lost = os.path.join(scratch, "checkpoints")
    os.makedirs(lost)
    return lost


def folders_of(work: Work, places: Places, scratch: str) -> dict[str, str]:
    """What stands for each placeholder of the step."""
    folders = {name: os.path.abspath(path) for side in places[:2] for name, path in side.items() if name != "request"}
    for name, wanted in work.files.items():
        folders["inputs." + name[len(INPUT) :]] = verified(name[len(INPUT) :], folders.pop(name), wanted)
    if "predictions" in folders:
        folders["predictions"] = os.path.join(folders["predictions"], PREDICTIONS)
    if "out" in folders:
        folders["out"] = os.path.join(folders["out"], COLUMNS)
    if "base_model" in folders and os.path.isfile(os.path.join(folders["base_model"], ABSENT)):
        folders["base_model"] = os.path.join(scratch, "nothing")
        os.makedirs(folders["base_model"])
    if work.checkpoints:
        folders["checkpoints"] = kept_folder(work, scratch)
    return folders


def commands(work: Work, folders: dict[str, str], scratch: str) -> list[tuple[list[str], dict[str, str]]]:
    """The commands of one try, in order, each with its placeholders."""
    if not work.apply:
        return [(work.argv, folders)]
    given = {name: path for name, path in folders.items() if name.startswith("inputs.")}
    given["prepared"] = folders["prepared"] if "model" not in folders else os.path.join(folders["model"], PREPARED)
    if "model" in folders:
        out = os.path.join(scratch, ROWS)
        predict = dict(folders, prepared=given["prepared"], rows=out)
        return [(work.apply, dict(given, rows=folders["rows"], out=out)), (work.argv, predict)]
    parts = [name for name in ("train", "valid") if READY + name in folders]
    ready = [dict(given, rows=folders[name], out=folders.pop(READY + name)) for name in parts]
    return [(work.argv, folders)] + [(work.apply, one) for one in ready]


def code_folder(step: str, code: str) -> str | None:
    """Where a command starts: the stored copy of its code, where code is stored."""
    store = os.environ.get("CTC_CODE_STORE")
    folder = os.path.join(store, code) if store and code else None
    if folder and not os.path.isdir(folder):
        raise Failed("%s failed: the stored copy of its code is gone: %s is not a folder" % (step, folder))
    return folder


def run(arguments: argparse.Namespace, work: Work, places: Places, start: Callable[..., Any] = run_once) -> None:
    """Every try of the step's commands. Returns once one of them wrote its outputs, else raises Failed."""
    step, cwd = arguments.step, code_folder(arguments.step, work.code)
    with tempfile.TemporaryDirectory(prefix="ctc-") as scratch:
        folders = folders_of(work, places, scratch)
        planned = [(fill(argv, given), given) for argv, given in commands(work, folders, scratch)]
        for left in range(arguments.retries, -1, -1):
            for folder in [*places.outputs.values(), os.path.join(scratch, ROWS)]:
                empty(folder)
            code, last, filled = run_all(planned, cwd, arguments.timeout, start)
            if code == 0:
                check_written(step, places.outputs)
                if "model" in places.outputs and "prepared" in places.inputs:
                    # It is no version without what `fit` learnt. A copy of the champion's is replaced.
                    copy = os.path.join(places.outputs["model"], PREPARED)
                    shutil.rmtree(copy, ignore_errors=True)
                    shutil.copytree(places.inputs["prepared"], copy)
                return
            if left == 0 or STOPPED or code == -signal.SIGTERM:
                break
            print("ctc: %s: a try failed, %d left" % (step, left), flush=True)
    how = "exited with code %s" % code
    if code is None:
        how = "ran longer than %g seconds and was stopped" % arguments.timeout
    elif code < 0:
        how = "was ended by signal %d%s" % (-code, ", most often for lack of memory" if code == -9 else "")
    tries = " (%d tries)" % (arguments.retries - left + 1) if left < arguments.retries else ""
    said = "its last lines:\n" + last if last else "it printed nothing"
    exit_code = TIMED_OUT if code is None else 128 - code if code < 0 else code
    raise Failed("%s failed: %r %s%s; %s" % (step, " ".join(filled), how, tries, said), exit_code)


def environment_of(given: dict[str, str]) -> dict[str, str]:
    """What a command is given as variables: this process's own, and each placeholder's path."""
    # What the channels of notifications are reached by is none of the user's code's business.
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CTC_SECRET_", "CTC_SMTP_"))}
    return dict(own, **{"CTC_" + re.sub("[^A-Z0-9_]", "_", name.upper()): path for name, path in given.items()})


def run_all(
    planned: list[tuple[list[str], dict[str, str]]], cwd: str | None, timeout: float, start: Callable[..., Any]
) -> tuple[int | None, str, list[str]]:
    """One try: the commands until one fails, all within `timeout`; the last one's exit code, last lines and words."""
    end = time.monotonic() + timeout
    for argv, given in planned:
        left = max(end - time.monotonic(), 0.001) if timeout else 0.0
        code, last = start(argv, cwd, environment_of(given), left)
        if code != 0:
            break
    return code, last, argv


def check_written(step: str, outputs: dict[str, str]) -> None:
    for name, folder in outputs.items():
        found = sorted(os.listdir(folder))
        if not found:
            raise Failed("%s failed: it exited with code 0 but wrote nothing to {%s}" % (step, name))
        wanted = {"predictions": PREDICTIONS, "out": COLUMNS}.get(name)
        if wanted and wanted not in found:
            raise Failed("%s failed: it did not write the file {%s} but %s" % (step, name, ", ".join(found[:5])))


def incomparable(champion: dict[str, Any], arguments: argparse.Namespace, files: dict[str, str]) -> str:
    """Why the champion's command cannot be given what it was made for; empty if it can."""
    for name, digest in (champion.get("inputs") or {}).items():
        if files.get(INPUT + name) != digest:
            return "the champion was made with another `%s`, which the spec no longer names" % name
    if ((champion.get("csv") or {}).get("delimiter") or "") != arguments.csv:
        return "the champion reads its rows in another format than `training.format` now says"
    return ""


def nothing_to_read(places: Places) -> bool:
    """Whether the step reads predictions, and there are none: of a champion that is not there, or not comparable."""
    given = places.inputs.get("predictions", "")
    return bool(given) and any(os.path.isfile(os.path.join(given, name)) for name in (ABSENT, NOT_COMPARABLE))


def answer(places: Places, name: str, reason: str) -> None:
    """In place of predictions: why there are none."""
    for folder in places.outputs.values():
        empty(folder)
        write_json(os.path.join(folder, name), {"version": 1, "reason": reason})


def perform(arguments: argparse.Namespace, argv: list[str], act: Callable[..., None]) -> None:
    attempt = ""
    if arguments.executor_input:
        told = json.loads(arguments.executor_input)
        attempt = str(told.get("inputs", {}).get("parameterValues", {}).get("attempt", ""))
        inputs, outputs = artifact_folders(told.get("inputs", {})), artifact_folders(told["outputs"])
        places = Places(inputs, outputs, artifact_reports(told["outputs"]))
    else:
        pairs = [dict(word.split("=", 1) for word in words) for words in (arguments.input, arguments.output)]
        places = Places(pairs[0], pairs[1], {})
    champion: dict[str, Any] = {}
    if not argv:
        with open(os.path.join(places.inputs["request"], "request.json"), encoding="utf-8") as file:
            champion = json.load(file)["champion"] or {}
    files = dict(word.split("=", 1) for word in arguments.digest)
    place = arguments.checkpoints.replace("{attempt}", attempt)
    checkpoints = artifact_path({"uri": place}) if place else ""
    unlike = incomparable(champion, arguments, files) if champion else ""
    if unlike:
        answer(places, NOT_COMPARABLE, unlike)
    elif argv and nothing_to_read(places):
        answer(places, ABSENT, "there are no predictions to read")
    elif argv:
        work = Work(
            argv[arguments.apply :], argv[: arguments.apply], os.environ.get("CTC_CODE", ""), files, checkpoints
        )
        act(arguments, work, places)
    elif champion:
        apply = [str(word) for word in (champion.get("prepare") or {}).get("apply", ())]
        mine = {name: files[name] for name in files if name[len(INPUT) :] in (champion.get("inputs") or {})}
        predict = [str(word) for word in champion["predict"]]
        try:
            act(arguments, Work(predict, apply, str(champion["code"]), mine, ""), places)
        except Failed as failed:
            if failed.code == 128 + signal.SIGTERM:
                raise  # The platform stopped it, which says nothing of the champion.
            print("ctc: the champion cannot be compared: %s" % failed, flush=True)
            answer(places, NOT_COMPARABLE, str(failed))
    else:
        answer(places, ABSENT, "there is no champion yet")
    if arguments.executor_input:
        write_json(told["outputs"]["outputFile"], {"artifacts": places.report})


def main(words: list[str], act: Callable[..., None] = run) -> int:
    """Runs one step; returns the process's exit code: the command's own, 124 where its time was up, else 1.

    `act` is what is done with the command: it runs until its end, unless another program asks for something else.
    """
    die_with_parent()
    cut = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(prog="ctc-shim", description="Runs one command of the user's in their image.")
    parser.add_argument("--step", required=True)
    parser.add_argument("--executor_input", default="", help="Kubeflow's executor input, as JSON")
    parser.add_argument("--executor-main", default="", help="ignored: Kubeflow's local runner looks for it")
    for option, pair in (("input", "NAME=FOLDER"), ("output", "NAME=FOLDER"), ("digest", "INPUT=SHA256")):
        parser.add_argument("--" + option, action="append", default=[], metavar=pair)
    parser.add_argument("--apply", type=int, default=0, metavar="N", help="the first N words prepare rows")
    parser.add_argument("--csv", default="", help="the delimiter of the rows; empty: they are Parquet")
    parser.add_argument("--checkpoints", default="", help="folder or URI; {attempt} stands for the attempt")
    parser.add_argument("--option", action="append", default=[], metavar="NAME=VALUE", help="what `act` is told")
    parser.add_argument("--failure", default="", help="file that takes the message of a failure")
    parser.add_argument("--retries", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=0.0, help="seconds of one try; 0: no limit")
    arguments, start, error, code = parser.parse_args(words[:cut]), time.monotonic(), "", 0
    try:
        perform(arguments, words[cut + 1 :], act)
    except Failed as failed:
        error, code = str(failed), failed.code
    except (OSError, ValueError, KeyError) as broken:
        error, code = "%s failed: %s: %s" % (arguments.step, type(broken).__name__, broken), 1
    if error:
        print("ctc: " + error, file=sys.stderr, flush=True)
    if error and arguments.failure:
        os.makedirs(os.path.dirname(arguments.failure) or ".", exist_ok=True)
        with open(arguments.failure, "w", encoding="utf-8") as file:
            file.write(error)
    if os.environ.get("CTC_STATUS_DIR"):
        status = {"step": arguments.step, "status": "failed" if error else "ok", "exit_code": code, "error": error}
        status["seconds"] = round(time.monotonic() - start, 3)
        write_json(os.path.join(os.environ["CTC_STATUS_DIR"], arguments.step + ".json"), status)
    return code

"""How the machines of one training begin each try together, and end it together: a failure on one is one of all.

The first machine listens at the port after that of the processes' own rendezvous; the others connect for each try, and
are told when all are there. Each says how its processes ended, with their last lines; the first says what that means
for all. A machine that is gone has failed. Standard library only, Python 3.7 or newer.
"""


import contextlib
import select
import socket
import time
from typing import Dict, List, Optional, Tuple


WELL, BROKEN, LATE, GO = b"w", b"b", b"l", b"g"
"""What a machine says of its try, and what the first says of all: ended well, failed, ran out of time; and: begin."""
PATIENCE_SECONDS, PAUSE_SECONDS, ANSWER_SECONDS = 600.0, 0.2, 10.0
"""For how long machines wait for each other to start (torchrun's `join_timeout`), how often that is looked at, and for
how long a message that has begun is waited for."""
MOST_BYTES = 16384

Verdict = Tuple[bytes, str]
NOTHING: Verdict = (b"", "")


class Alone:
    """All processes are of this machine: what becomes of them is what becomes of the try."""

    def begin(self) -> None:
        """At once."""

    def look(self, ended: bytes, said: str) -> Verdict:
        return ended, said


class First:
    """The machine at which the others meet; `count` are all of them."""

    def __init__(self, port: int, count: int) -> None:
        self.server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.server.bind(("", port))
        self.server.listen(count)
        self.count = count
        self.peers: Dict[int, socket.socket] = {}
        self.told: Dict[int, Verdict] = {}

    def begin(self) -> None:
        """Returns when all are there. Failed where one does not come."""
        self.peers, self.told, end = {}, {}, time.monotonic() + PATIENCE_SECONDS
        while len(self.peers) < self.count - 1:
            refuse_late(end, "%d of %d machines came" % (len(self.peers) + 1, self.count))
            if select.select([self.server], [], [], PAUSE_SECONDS)[0]:
                link = self.server.accept()[0]
                link.settimeout(ANSWER_SECONDS)
                with contextlib.suppress(OSError, ValueError):
                    self.peers[int(message(link)[1])] = link
        for link in self.peers.values():
            send(link, GO, "")

    def look(self, ended: bytes, said: str) -> Verdict:
        """What the try has come to, and the last lines of who decided it; NOTHING while it goes on."""
        if ended:
            self.told[0] = ended, said
        for rank, link in self.peers.items():
            if rank not in self.told and select.select([link], [], [], 0)[0]:
                try:
                    self.told[rank] = message(link)
                except OSError:
                    self.told[rank] = BROKEN, "it is gone"
        for kind in (BROKEN, LATE):
            for rank in sorted(self.told):
                if self.told[rank][0] == kind:
                    lines = self.told[rank][1]
                    return self.tell(kind, lines if rank == 0 else "machine %d of %d: %s" % (rank, self.count, lines))
        return self.tell(WELL, self.told[0][1]) if len(self.told) == self.count else NOTHING

    def tell(self, kind: bytes, lines: str) -> Verdict:
        for link in self.peers.values():
            send(link, kind, "")
            link.close()
        return kind, lines


class Other:
    """A machine that meets the first, at `host` and `port`; `rank` is its own."""

    def __init__(self, host: str, port: int, rank: int) -> None:
        self.address, self.rank, self.said = (host, port), rank, False
        self.link: Optional[socket.socket] = None

    def begin(self) -> None:
        """Returns when all are there. Failed where the first does not answer."""
        end, self.said = time.monotonic() + PATIENCE_SECONDS, False
        while self.link is None:
            refuse_late(end, "the first of the machines does not answer")
            try:
                self.link = socket.create_connection(self.address, ANSWER_SECONDS)
                send(self.link, GO, str(self.rank))
            except OSError:
                self.link = None
                time.sleep(PAUSE_SECONDS)
        while not select.select([self.link], [], [], PAUSE_SECONDS)[0]:
            refuse_late(end, "not all of the machines came")
        try:
            message(self.link)
        except OSError as error:
            self.leave()
            raise Failed("the first of the machines is gone") from error

    def look(self, ended: bytes, said: str) -> Verdict:
        assert self.link is not None, "`begin` has been called"
        if ended and not self.said:
            self.said = True
            send(self.link, ended, said)
        if not select.select([self.link], [], [], 0)[0]:
            return NOTHING
        try:
            kind = message(self.link)[0]
        except OSError:
            kind = BROKEN
        self.leave()
        return kind, said or "another machine failed; the first tells which"

    def leave(self) -> None:
        if self.link is not None:
            self.link.close()
        self.link = None


def refuse_late(end: float, said: str) -> None:
    """Failed where time is up, or the platform ends the job."""
    if STOPPED:
        raise Failed("the job was ended before all machines were there", 128 + STOPPED[0])
    if time.monotonic() > end:
        raise Failed("%s within %g seconds" % (said, PATIENCE_SECONDS))


def send(link: socket.socket, kind: bytes, text: str) -> None:
    """One message. One that cannot be sent is to a machine that is gone, which is seen where its own is read."""
    body = text.encode("utf-8")[-MOST_BYTES:]
    with contextlib.suppress(OSError):
        link.sendall(kind + len(body).to_bytes(4, "big") + body)


def message(link: socket.socket) -> Verdict:
    """The next message; OSError where the machine is gone."""
    head = exactly(link, 5)
    return head[:1], exactly(link, int.from_bytes(head[1:], "big")).decode("utf-8", "replace")


def exactly(link: socket.socket, count: int) -> bytes:
    parts: List[bytes] = []
    while count:
        part = link.recv(count)
        if not part:
            raise ConnectionError("the connection ended")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)

"""Starts a command several times at once, as `torchrun` does, on as many machines as a job was given.

Each machine runs this program, which finds out from the platform which one it is, and starts the processes of its own
node with the variables that torchrun sets (PyTorch, `torch.distributed.run`); ranks are counted node by node. The
processes meet at `MASTER_ADDR:MASTER_PORT`, where that of rank 0 listens; torchrun itself is not needed. If one of them
fails, all are ended, on every machine, and all are tried again. What a node but the first writes to an output is not
kept.

On one machine, where `CTC_MOUNTS` stands for the object store, one program starts the processes of all nodes.
"""


import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple, Union


Words = Dict[str, str]
Meeting = Union[Alone, First, Other]
Start = Callable[[List[str], Optional[str], Words, float], Tuple[Optional[int], str]]

MASTER_PORT, PAUSE_SECONDS = 29500, 0.05
"""torchrun's own port, where the platform names none; and how often the processes are looked at."""


class Group(NamedTuple):
    """The machines of a job. `hosts` are their addresses in the order of their ranks, `here` the ranks of the nodes
    whose processes this program starts, `processes` how many each node has."""

    hosts: List[str]
    port: int
    here: List[int]
    processes: int


def group_of(options: Words) -> Group:
    """What the platform tells: SageMaker in a file, Vertex AI in `CLUSTER_SPEC`, Azure ML in torchrun's variables."""
    nodes, processes = int(options["nodes"]), int(options["processes"])
    if os.environ.get("CTC_MOUNTS"):
        hosts, port, here = ["127.0.0.%d" % number for number in range(1, nodes + 1)], free_port(), list(range(nodes))
    elif os.path.isfile(options.get("hosts", "")):
        with open(options["hosts"], encoding="utf-8") as file:
            told = json.load(file)
        hosts = sorted(told["hosts"], key=lambda name: (len(name), name))
        port, here = MASTER_PORT, [hosts.index(told["current_host"])]
    elif os.environ.get("CLUSTER_SPEC"):
        told = json.loads(os.environ["CLUSTER_SPEC"])
        pools = [told["cluster"][name] for name in sorted(told["cluster"])]
        task = sorted(told["cluster"]).index(told["task"]["type"])
        hosts = [host.rpartition(":")[0] for pool in pools for host in pool]
        port = int(pools[0][0].rpartition(":")[2])
        here = [sum(len(pool) for pool in pools[:task]) + int(told["task"]["index"])]
    elif os.environ.get("MASTER_ADDR") and os.environ.get("NODE_RANK"):
        rank, first = int(os.environ["NODE_RANK"]), os.environ["MASTER_ADDR"]
        hosts = [first, *("node-%d" % number for number in range(1, int(os.environ.get("WORLD_SIZE") or nodes)))]
        port, here = int(os.environ.get("MASTER_PORT") or MASTER_PORT), [rank]
    else:
        raise Failed("the platform does not say which of the %d machines this is" % nodes)
    if len(hosts) != nodes or not 0 <= here[0] < nodes:
        raise Failed("the job asked for %d machines, and the platform gave %d" % (nodes, len(hosts)))
    return Group(hosts, port, here, processes)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


def variables(group: Group, node: int, local: int) -> Words:
    """What torchrun sets for one process."""
    rank, world = node * group.processes + local, len(group.hosts) * group.processes
    found: Dict[str, Any] = {
        "MASTER_ADDR": group.hosts[0],
        "MASTER_PORT": group.port,
        "RANK": rank,
        "WORLD_SIZE": world,
        "LOCAL_RANK": local,
        "LOCAL_WORLD_SIZE": group.processes,
        "GROUP_RANK": node,
        "GROUP_WORLD_SIZE": len(group.hosts),
        "ROLE_NAME": "default",
        "ROLE_RANK": rank,
        "ROLE_WORLD_SIZE": world,
        "TORCHELASTIC_RESTART_COUNT": 0,
        "TORCHELASTIC_MAX_RESTARTS": 0,
        "TORCHELASTIC_RUN_ID": "none",
        "TORCHELASTIC_USE_AGENT_STORE": False,
        "TORCH_NCCL_ASYNC_ERROR_HANDLING": os.environ.get("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1"),
    }
    if len(group.here) * group.processes > 1:
        found["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or "1"
    return {name: str(value) for name, value in found.items()}


def together(group: Group, meeting: Meeting, of_node: Callable[[int], Words]) -> Start:
    """What runs a command as all processes of this machine at once, as one of its group; `of_node` are more variables
    of each node's."""

    def start(argv: List[str], cwd: Optional[str], environment: Words, timeout: float) -> Tuple[Optional[int], str]:
        """The exit code and the last lines of the first process that failed, on whichever machine; else of rank 0."""
        signal.signal(signal.SIGTERM, obey)
        meeting.begin()
        RUNNING.clear()
        for node in group.here:
            for local in range(group.processes):
                own = {**environment, **of_node(node), **variables(group, node, local)}
                RUNNING.append(started(argv, cwd, own))
        processes = list(RUNNING)
        read = [streamed(process, lines=True) for process in processes]
        if STOPPED:
            end_all(processes, signal.SIGTERM)
        end = time.monotonic() + timeout if timeout else None
        verdict, lines, code = followed(processes, [tail for _, tail in read], end, meeting)
        if verdict == LATE:
            end_all(processes, signal.SIGTERM)
            patience = time.monotonic() + GRACE_SECONDS
            while None in [process.poll() for process in processes] and time.monotonic() < patience:
                time.sleep(PAUSE_SECONDS)
        end_all(processes, signal.SIGKILL)
        for index, process in enumerate(processes):
            process.wait()
            read[index][0].join(GRACE_SECONDS)
            assert process.stdout is not None
            process.stdout.close()
        RUNNING.clear()
        return None if verdict == LATE else code if verdict == BROKEN else 0, lines

    return start


def followed(
    processes: List[subprocess.Popen[bytes]], tails: List[bytearray], end: Optional[float], meeting: Meeting
) -> Tuple[bytes, str, int]:
    """Until the try has come to something on all machines: what, the last lines, and a code where it failed."""
    ended, said, code = b"", "", 1
    while True:
        codes = [process.poll() for process in processes]
        failed = [index for index, found in enumerate(codes) if found]
        if not ended and failed:
            # The other pipes are read to their end later; this one says why.
            time.sleep(PAUSE_SECONDS)
            ended, said, code = BROKEN, last_lines_of(tails[failed[0]]), codes[failed[0]] or 1
        elif not ended and None not in codes:
            ended, said = WELL, last_lines_of(tails[0])
        elif not ended and end is not None and time.monotonic() > end:
            ended, said = LATE, last_lines_of(tails[0])
        verdict, lines = meeting.look(ended, said)
        if verdict:
            return verdict, lines, code
        time.sleep(PAUSE_SECONDS)


def end_all(processes: List[subprocess.Popen[bytes]], number: int) -> None:
    for process in processes:
        end_group(process, number)


def meeting_of(group: Group) -> Meeting:
    """How the machines of a group begin and end their tries."""
    if len(group.here) == len(group.hosts):
        return Alone()
    rank = group.here[0]
    return Other(group.hosts[0], group.port + 1, rank) if rank else First(group.port + 1, len(group.hosts))


def as_nodes(
    group: Group, arguments: argparse.Namespace, work: Work, places: Places, of_node: Callable[[int], Words]
) -> None:
    """Runs the command as its group does. On a machine that is not the first, outputs are folders that go with it."""
    start = together(group, meeting_of(group), of_node)
    if group.here[0] == 0:
        run(arguments, work, places, start)
        return
    with tempfile.TemporaryDirectory(prefix="ctc-") as scratch:
        folders = {name: os.path.join(scratch, name) for name in places.outputs}
        for folder in folders.values():
            os.makedirs(folder)
        run(arguments, work, Places(dict(places.inputs, **folders), {}, {}), start)
    # What the step tells of its outputs, the first machine tells.
    sys.exit(0)


def distributed(arguments: argparse.Namespace, work: Work, places: Places) -> None:
    """What is done with the command of a distributed training. Raises what the shim raises."""
    group = group_of(dict(word.split("=", 1) for word in arguments.option))
    as_nodes(group, arguments, work, places, lambda node: {})

"""Runs a script that was written for another platform: the shim, with that platform's variables and folders around it.

What SageMaker sets is what its Python SDK's own driver sets (`container_drivers` of sagemaker 3), hyperparameters as
words included. What Vertex AI sets is on its page "Custom training code requirements", what Azure ML sets in its jobs'
own environment. A platform's paths stand for folders of this step; nothing of a platform is called.
"""


import argparse
import glob
import json
import os
import sys
import tempfile
from typing import Any, Dict, List, Optional


Words = Dict[str, str]

CHANNELS = {"train": ("train", "training"), "valid": ("validation", "valid", "test")}
"""What scripts call a channel, by our name of it; the first is the one that is listed."""

HOST, NETWORK, SM_PORT, LOG_LEVEL = "algo-1", "eth0", "7777", "20"


def adapted(arguments: argparse.Namespace, work: Work, places: Places) -> None:
    """Runs the command as it would be run there. Raises what the shim raises."""
    told = dict(word.split("=", 1) for word in arguments.option)
    folders = {name: os.path.abspath(path) for side in places[:2] for name, path in side.items() if name != "request"}
    if "base_model" in folders and os.path.isfile(os.path.join(folders["base_model"], ABSENT)):
        del folders["base_model"]
    typed = json.loads(os.environ.get("CTC_HYPERPARAMETERS") or "{}")
    with tempfile.TemporaryDirectory(prefix="ctc-") as scratch:
        group = group_of(told) if "nodes" in told else None
        job = Job(arguments, folders, typed, work, scratch, group)
        os.environ.update(job.variables(told["interface"]))
        if group is None:
            run(arguments, job.work, places)
        else:
            as_nodes(group, arguments, job.work, places, lambda node: job.of_node(told["interface"], node))


class Job:
    """One command, and what its platform would have set for it. `work` is the command as it is run."""

    def __init__(
        self,
        arguments: argparse.Namespace,
        folders: Words,
        typed: Dict[str, Any],
        work: Work,
        scratch: str,
        group: Optional[Group] = None,
    ) -> None:
        self.arguments, self.folders, self.typed, self.work, self.scratch = arguments, folders, typed, work, scratch
        self.group, self.hosts = group, group.hosts if group is not None else [HOST]
        self.rank = group.here[0] if group is not None else 0
        self.file = "data.csv" if arguments.csv else "data.parquet"

    def variables(self, interface: str) -> Words:
        return {"sagemaker": self.sagemaker, "vertex": self.vertex, "azureml": self.azureml}[interface]()

    def files(self) -> Words:
        """The spec's `inputs`, by name."""
        return {name[len(INPUT) :]: path for name, path in self.folders.items() if name.startswith(INPUT)}

    def folder(self, *names: str) -> str:
        path = os.path.join(self.scratch, *names)
        os.makedirs(path, exist_ok=True)
        return path

    def resources(self, node: int) -> Dict[str, Any]:
        """What SageMaker tells of the machines of a job."""
        found = {"current_host": self.hosts[node], "hosts": self.hosts, "network_interface_name": NETWORK}
        return dict(found, current_instance_type="local")

    def cluster(self, node: int) -> str:
        """What Vertex AI tells of them."""
        first, *others = self.hosts if self.group is not None else ["127.0.0.1"]
        port = self.group.port if self.group is not None else 2222
        pools = {"workerpool0": ["%s:%d" % (first, port)]}
        if others:
            pools["workerpool1"] = ["%s:%d" % (host, port) for host in others]
        task = {"type": "workerpool1", "index": node - 1} if node else {"type": "workerpool0", "index": 0}
        return json.dumps({"cluster": pools, "environment": "cloud", "task": task})

    def of_node(self, interface: str, node: int) -> Words:
        """What a platform tells each machine of itself."""
        if interface == "vertex":
            return {"CLUSTER_SPEC": self.cluster(node)}
        if interface == "azureml":
            return {"NODE_RANK": str(node)}
        resources = self.resources(node)
        training = dict(
            json.loads(os.environ["SM_TRAINING_ENV"]), current_host=self.hosts[node], current_host_rank=node
        )
        return {
            "SM_CURRENT_HOST": self.hosts[node],
            "SM_CURRENT_HOST_RANK": str(node),
            "SM_RESOURCE_CONFIG": json.dumps(resources),
            "SM_TRAINING_ENV": json.dumps(dict(training, resource_config=resources)),
        }

    def sagemaker(self) -> Words:
        """`SM_...`, folders of data and configuration, and after the words of a training its hyperparameters."""
        listed = {names[0]: self.folders[ours] for ours, names in CHANNELS.items() if ours in self.folders}
        listed.update({"model": self.folders["base_model"]} if "base_model" in self.folders else {}, **self.files())
        every = dict(listed)
        for ours, names in CHANNELS.items():
            every.update({name: self.folders[ours] for name in names if ours in self.folders})
        data, config = self.folder("input", "data"), self.folder("input", "config")
        for name, path in every.items():
            os.symlink(path, os.path.join(data, name))
        resources = self.resources(self.rank)
        channels = {name: {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"} for name in listed}
        words = {name: value if isinstance(value, str) else json.dumps(value) for name, value in self.typed.items()}
        write_json(os.path.join(config, "hyperparameters.json"), words)
        write_json(os.path.join(config, "resourceconfig.json"), resources)
        write_json(os.path.join(config, "inputdataconfig.json"), channels)
        arguments = [word for name, value in words.items() for word in ("--" + name, value)]
        if self.arguments.step == "train":
            self.work = self.work._replace(argv=self.work.argv + arguments)
        found = {
            "SM_MODEL_DIR": self.folders.get("model", ""),
            "SM_INPUT_DIR": os.path.dirname(data),
            "SM_INPUT_DATA_DIR": data,
            "SM_INPUT_CONFIG_DIR": config,
            "SM_OUTPUT_DIR": self.folder("output"),
            "SM_OUTPUT_DATA_DIR": self.folder("output", "data"),
            "SM_OUTPUT_FAILURE": os.path.join(self.folder("output"), "failure"),
            "SM_CHANNELS": list(listed),
            "SM_HPS": self.typed,
            "SM_USER_ARGS": arguments,
            "SM_CURRENT_HOST": self.hosts[self.rank],
            "SM_CURRENT_HOST_RANK": self.rank,
            "SM_CURRENT_INSTANCE_TYPE": "local",
            "SM_HOSTS": self.hosts,
            "SM_HOST_COUNT": len(self.hosts),
            "SM_MASTER_ADDR": self.hosts[0] if self.group is not None else "127.0.0.1",
            "SM_MASTER_PORT": str(self.group.port) if self.group is not None else SM_PORT,
            "SM_NETWORK_INTERFACE_NAME": NETWORK,
            "SM_LOG_LEVEL": LOG_LEVEL,
            "SM_NUM_CPUS": os.cpu_count() or 1,
            "SM_NUM_GPUS": len(gpus()),
            "SM_NUM_NEURONS": len(glob.glob("/dev/neuron[0-9]*")),
            "SM_RESOURCE_CONFIG": resources,
            "SM_INPUT_DATA_CONFIG": channels,
            "TRAINING_JOB_NAME": os.environ.get("TRAINING_JOB_NAME", self.arguments.step),
        }
        found.update({"SM_CHANNEL_" + name.upper(): path for name, path in every.items()})
        found.update({"SM_HP_" + name.replace("-", "_").upper(): value for name, value in self.typed.items()})
        found["SM_TRAINING_ENV"] = dict(
            {name[3:].lower(): value for name, value in found.items() if not name.startswith(("SM_CHANNEL_", "SM_HP"))},
            channel_input_dirs=listed,
            hyperparameters=self.typed,
            job_name=found["TRAINING_JOB_NAME"],
        )
        return {name: value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}

    def vertex(self) -> Words:
        """`AIP_...`: local paths where the platform has addresses of its object store."""
        found = {"CLUSTER_SPEC": self.cluster(self.rank)}
        if "train" in self.folders:
            found["AIP_DATA_FORMAT"] = "csv" if self.arguments.csv else "parquet"
            found["AIP_TENSORBOARD_LOG_DIR"] = self.folder("tensorboard")
        for name, ours in (("TRAINING", "train"), ("VALIDATION", "valid"), ("TEST", "valid")):
            if ours in self.folders:
                found["AIP_%s_DATA_URI" % name] = os.path.join(self.folders[ours], self.file)
        if self.work.checkpoints:
            os.makedirs(self.work.checkpoints, exist_ok=True)
            found["AIP_CHECKPOINT_DIR"] = os.path.abspath(self.work.checkpoints)
        if "model" in self.folders:
            found["AIP_MODEL_DIR" if "train" in self.folders else "AIP_STORAGE_URI"] = self.folders["model"]
        return found

    def azureml(self) -> Words:
        """`AZURE_ML_...`, and a working folder whose `outputs` is the model's folder, as that of a job there."""
        sides = {"train": "INPUT", "valid": "INPUT", "rows": "INPUT", "base_model": "INPUT", "predictions": "OUTPUT"}
        sides["model"] = "OUTPUT" if "train" in self.folders else "INPUT"
        found = {
            "AZURE_ML_%s_%s" % (side, name): self.folders[name] for name, side in sides.items() if name in self.folders
        }
        found.update({"AZURE_ML_INPUT_%s" % name: path for name, path in self.files().items()})
        found["AZUREML_RUN_ID"] = os.environ.get("AZUREML_RUN_ID", self.arguments.step)
        if "train" not in self.folders and "model" in self.folders:
            found["AZUREML_MODEL_DIR"] = self.folders["model"]
        elif "model" in self.folders:
            store, code = os.environ.get("CTC_CODE_STORE"), self.work.code
            here = os.path.join(store, code) if store and code else os.getcwd()
            working = self.folder("work")
            for entry in os.listdir(here):
                if entry != "outputs":
                    os.symlink(os.path.join(here, entry), os.path.join(working, entry))
            os.symlink(self.folders["model"], os.path.join(working, "outputs"))
            os.chdir(working)
            self.work = self.work._replace(code="")
        return found


def gpus() -> List[str]:
    return glob.glob("/dev/nvidia[0-9]*")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], adapted))
