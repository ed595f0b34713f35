"""What `ctc package` writes, played without Docker: the instructions of its Dockerfiles, one after the other.

An environment stands for the image. It sees the packages of this one, so that pip finds what is asked for, offline.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

from ctc.cli.common import guarded
from ctc.cli.package import package
from ctc.compiler.bundle import as_json
from ctc.language.lock import LOCK
from ctc.package.dockerfile import instructions

CLICK = version("click")
ROOT = Path(__file__).resolve().parent.parent
TRAIN = """
import json, sys
from pathlib import Path
from importlib.metadata import version
from inner.rows import count
out = Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir(parents=True)
(out / "model.json").write_text(json.dumps({"rows": count(), "click": version("click")}))
"""


class Image:
    """A folder and an environment in which the instructions of a Dockerfile are carried out."""

    def __init__(self, folder: Path, context: Path) -> None:
        self.root, self.context, self.work = folder / "root", context, folder / "root"
        self.root.mkdir(parents=True)
        self.variables: dict[str, str] = {}
        venv.create(folder / "venv")
        self.bin = folder / "venv" / "bin"
        (self.bin / "pip").write_text('#!/bin/sh\nexec python -m pip "$@"\n')
        (self.bin / "pip").chmod(0o755)

    def build(self) -> None:
        for item in instructions((self.context / "Dockerfile").read_text(), "Dockerfile"):
            getattr(self, item.keyword.lower())(item.rest)

    def from_(self, rest: str) -> None:
        assert rest.startswith("python")

    def env(self, rest: str) -> None:
        self.variables.update(word.split("=", 1) for word in rest.split())

    def workdir(self, rest: str) -> None:
        self.work = self.root / rest.lstrip("/")
        self.work.mkdir(parents=True, exist_ok=True)

    def copy(self, rest: str) -> None:
        *sources, into = json.loads(rest)
        for source in sources:
            there = self.work / into
            there.mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", f"{self.context / source}{'/.' if source == '.' else ''}", there], check=True)

    def run(self, rest: str) -> None:
        done = self.command(json.loads(rest))
        assert done.returncode == 0, done.stdout + done.stderr

    def command(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        environment = {
            **self.variables,
            "PATH": f"{self.bin}{os.pathsep}{os.defpath}",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path.endswith("site-packages")),
            "PIP_NO_INDEX": "1",
            "HOME": str(self.root),
        }
        return subprocess.run(words, cwd=self.work, env=environment, capture_output=True, text=True, timeout=120)


setattr(Image, "from", Image.from_)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    folder = tmp_path_factory.mktemp("packed")
    spec = folder / "ctc.yaml"
    spec.write_bytes((ROOT / "specs" / "minimal.yaml").read_bytes())
    for name, text in {
        "train.py": TRAIN,
        "inner/__init__.py": "",
        "inner/rows.py": "def count():\n    return len(open('data/rows.csv').readlines())\n",
        "data/rows.csv": "a\nb\n",
        "requirements.txt": f"click=={CLICK}\n",
        ".venv/bin/python": "not to be packed",
    }.items():
        (folder / "src" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "src" / name).write_text(text)
    assert guarded(package, [str(spec), "-o", str(folder / "images")]) == 0
    made = {name: Image(folder / name, folder / "images" / name) for name in ("training", "runtime")}
    for image in made.values():
        image.build()
    return made


def test_the_training_command_runs_where_the_image_starts(images: dict[str, Image]) -> None:
    """By the words of the spec: relative to the folder of the code, with its packages and its own modules."""
    image = images["training"]
    done = image.command(["python", "train.py", "--train", "t", "--valid", "v", "--out", "model"])

    assert done.returncode == 0, done.stderr
    model = json.loads((image.work / "model" / "model.json").read_text())
    assert model == {"rows": 2, "click": CLICK}
    assert not (image.work / ".venv").exists()


def test_our_image_is_this_ctc(images: dict[str, Image], tmp_path: Path) -> None:
    image = images["runtime"]
    where = image.command(["python", "-c", "import ctc; print(ctc.__file__)"])
    assert str(image.bin.parent) in where.stdout, where.stderr

    done = image.command(["ctc", "compile", str(ROOT / "specs" / "minimal.yaml"), "--out", str(tmp_path / "there")])
    assert done.returncode == 0, done.stderr
    words = [
        sys.executable,
        "-m",
        "ctc",
        "compile",
        str(ROOT / "specs" / "minimal.yaml"),
        "--out",
        str(tmp_path / "here"),
    ]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    assert contents(tmp_path / "there") == contents(tmp_path / "here")


def test_a_step_of_a_compiled_pipeline_starts_in_our_image(images: dict[str, Image], tmp_path: Path) -> None:
    """As far as a step goes without its service: it reads its document, and says what it lacks."""
    image = images["runtime"]
    out = tmp_path / "out"
    assert image.command(["ctc", "compile", str(ROOT / "specs" / "minimal.yaml"), "--out", str(out)]).returncode == 0
    document = next(path for path in out.rglob("*.json") if '"step": "validate"' in path.read_text())
    done = image.command(
        ["python", "-m", "ctc.step", "validate", "--document", str(document), "--result", str(tmp_path)]
    )

    assert done.returncode == 1
    assert "the pipeline's parameters `instant` and `attempt` must be given" in done.stderr


def test_the_lock_is_no_part_of_what_is_compiled_but_by_its_digests(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_bytes(as_json({"version": 1, "images": {}}))
    (tmp_path / "ctc.yaml").write_bytes((ROOT / "specs" / "minimal.yaml").read_bytes())
    words = [sys.executable, "-m", "ctc", "compile"]
    for spec, out in (("ctc.yaml", "locked"), (str(ROOT / "specs" / "minimal.yaml"), "free")):
        subprocess.run([*words, spec, "--out", out], cwd=tmp_path, check=True, capture_output=True)

    assert contents(tmp_path / "locked") == contents(tmp_path / "free")


def contents(folder: Path) -> dict[str, bytes]:
    return {item.relative_to(folder).as_posix(): item.read_bytes() for item in folder.rglob("*") if item.is_file()}
