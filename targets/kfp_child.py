"""The child in which `kfp_rehearse.py` runs a pipeline. It imports kfp, and only kfp imports more."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ctc.steps.shim_files import die_with_parent

TAIL_BYTES = 32768
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def main(words: Sequence[str]) -> int:
    """The child: runs the order in the file that it is given, and writes what happened as events.

    A second word is the process that must be its parent: it may have ended before this one could be told to end too.
    """
    die_with_parent()
    if words[1:] and words[1] != str(os.getppid()):
        return 1
    order = json.loads(Path(words[0]).read_bytes())
    # kfp replaces "python3" by this name in every word of every command, in paths and texts too. This makes it the
    # identity; the interpreter is then found on PATH, as in a container.
    sys.executable = "python3"
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    events = _Events(Path(order["events"]))
    try:
        _run_pipeline(order, events)
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001
        # Whatever the runner raises, the parent tells; a step's failure is told better by its own event.
        events.write("stopped", message=_COLOUR.sub("", f"{type(error).__name__}: {error}"))
    return 0


def load() -> None:
    """Imports the runner."""
    # kfp's own switch, on for its first line only: its client of a cluster is most of the import, and is not used.
    os.environ["_KFP_RUNTIME"] = "true"
    import kfp  # noqa: F401

    del os.environ["_KFP_RUNTIME"]
    from kfp import components, local  # noqa: F401

    # The runner loads it at its first task, wherever that runs.
    with contextlib.suppress(ImportError):
        import docker  # noqa: F401


def _run_pipeline(order: Mapping[str, Any], events: _Events) -> None:
    load()
    from kfp import components, local

    _Observed.events, _Observed.secrets = events, order["secrets"]
    # Its own commands are started by name at the call, so it starts observed ones; kfp itself stays as it is.
    subprocess.Popen = _Observed  # type: ignore[misc,assignment]
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=order["pipeline_root"],
        workspace_root=order["workspace_root"],
    )
    components.load_component_from_file(order["file"])(**order["arguments"])


class _Events:
    """A file of JSON documents, one a line, whole lines only: the parent reads it also if this process is killed."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, event: str, **fields: Any) -> None:
        os.write(self._descriptor, (json.dumps({"event": event, **fields}) + "\n").encode())


class _Observed(subprocess.Popen):  # type: ignore[type-arg]
    """A process that, if it is a step, tells when it starts and ends, and whose output goes to stderr byte by byte."""

    events: _Events
    secrets: Mapping[str, Mapping[str, str]]
    """By step, its variables and the ones of this process that hold their values: Kubernetes' part."""

    def __init__(self, args: Sequence[str], **options: Any) -> None:
        output = _executor_output(args)
        self._step = Path(output).parent.name if output else ""
        self._tail = bytearray()
        if self._step:
            self.events.write("start", step=self._step, output=output)
            # Bytes, whatever the encoding of the user's output. No step outlives the runner.
            options |= {"text": False, "bufsize": -1, "preexec_fn": die_with_parent}
            kept = self.secrets.get(self._step, {})
            values = {name: os.environ.get(variable, "").strip() for name, variable in kept.items()}
            options["env"] = {**(options.get("env") or os.environ), **values}
        super().__init__(args, **options)
        if self._step:
            self.stdout = _Relay(self.stdout, self._tail)  # type: ignore[assignment]

    def wait(self, timeout: float | None = None) -> int:
        code = super().wait(timeout)
        if self._step:
            last = self._tail.decode("utf-8", "replace")
            self.events.write("end", step=self._step, code=code, last=last)
            self._step = ""
        return code


class _Relay:
    """Stands for the pipe that the runner reads: passes everything on, and shows the runner an empty one."""

    def __init__(self, pipe: Any, tail: bytearray) -> None:
        self._pipe, self._tail = pipe, tail

    def readline(self) -> str:
        for chunk in iter(lambda: os.read(self._pipe.fileno(), 65536), b""):
            sys.stderr.buffer.write(chunk)
            sys.stderr.buffer.flush()
            self._tail.extend(chunk)
            del self._tail[:-TAIL_BYTES]
        return ""

    def close(self) -> None:
        self._pipe.close()


def _executor_output(args: Sequence[str]) -> str:
    """Where a step writes its outputs; empty for a process that is no step."""
    words = [str(word) for word in args] if not isinstance(args, str) else []
    if "--executor_input" not in words:
        return ""
    output: str = json.loads(words[words.index("--executor_input") + 1])["outputs"]["outputFile"]
    return output
