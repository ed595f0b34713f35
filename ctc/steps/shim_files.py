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
