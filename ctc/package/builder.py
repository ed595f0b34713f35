"""Docker or Podman, where somebody asks for an image: by their own commands, in the words that one could type."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from ctc.diagnostics import CtcError
from ctc.language.lock import is_digest, name_of
from ctc.package.context import Context

TOOLS = ("docker", "podman")
STDERR = 2
PLATFORM = "linux/amd64"
"""What the services' machines run, unless one asks for others; a laptop may be another one."""


def build_words(tool: str, made: Context, folder: Path, platform: str) -> list[str]:
    return [tool, "build", "--platform", platform, "--tag", made.tag, str(folder)]


def push_words(tool: str, made: Context) -> list[str]:
    return [tool, "push", made.tag]


def find() -> str:
    """The first of the tools on PATH. CtcError where there is none."""
    for tool in TOOLS:
        if shutil.which(tool):
            return tool
    raise CtcError(
        f"neither {' nor '.join(TOOLS)} is on PATH, and --build needs one",
        "build the folder elsewhere (gcloud builds submit, az acr build, kaniko), and pin what the registry says: "
        "ctc package --digest",
    )


def build(tool: str, made: Context, folder: Path, platform: str) -> None:
    """Builds a context; what the tool says goes to stderr. CtcError where it fails."""
    _run(build_words(tool, made, folder, platform), f"{made.name} could not be built")


def push(tool: str, made: Context) -> str:
    """Pushes an image; the digest that the registry gave it. CtcError where that fails, or none is told."""
    _run(push_words(tool, made), f"{made.tag} could not be pushed", "sign in to its registry first")
    words = [tool, "image", "inspect", "--format", "{{json .RepoDigests}}", made.tag]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    try:
        listed = json.loads(done.stdout) if done.returncode == 0 else None
    except ValueError:
        listed = None
    name = name_of(made.image)
    for item in listed or ():
        repository, _, digest = str(item).partition("@")
        # Docker leaves the registry of its own hub out of names.
        if repository.removeprefix("docker.io/") == name.removeprefix("docker.io/") and is_digest(digest):
            return digest
    raise CtcError(
        f"{made.tag} was pushed, and `{shlex.join(words)}` tells no digest of {name}",
        "look it up in the registry: ctc package --digest",
    )


def _run(words: list[str], failed: str, advice: str = "") -> None:
    sys.stderr.flush()
    # What the tool says is progress: to stderr, as all that is no result.
    done = subprocess.run(words, stdout=STDERR, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise CtcError(f"{failed}: `{shlex.join(words)}` exited with {done.returncode}", advice)
