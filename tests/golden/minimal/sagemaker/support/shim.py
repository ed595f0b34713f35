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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
