"""What is shipped: one top-level name, every target, every schema."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

from ctc import targets
from ctc.package.wheel import wheel

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheel that was built from it."""
    out = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_the_wheel_owns_one_name_and_holds_every_target(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"ctc"}
    for file in [*(ROOT / "targets").rglob("*.py"), *(ROOT / "schemas").glob("*.json")]:
        assert f"ctc/{file.relative_to(ROOT).as_posix()}" in names
    for file in (ROOT / "ctc" / "cost" / "prices").glob("*.csv"):
        assert file.relative_to(ROOT).as_posix() in names
    assert wheel.name.startswith("ctc_compiler-")


def test_the_wheel_that_ctc_writes_of_itself_is_this_one(built: Path) -> None:
    """What `ctc package` puts into our image: file by file, byte by byte."""
    [published] = built.glob("*.whl")
    name, content = wheel()
    assert name == published.name
    with zipfile.ZipFile(io.BytesIO(content)) as ours, zipfile.ZipFile(published) as other:
        held = [{item for item in archive.namelist() if ".dist-info/" not in item} for archive in (ours, other)]
        assert held[0] == held[1]
        assert [item for item in sorted(held[0]) if ours.read(item) != other.read(item)] == []


def test_the_sdist_holds_what_the_wheel_is_built_from(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}

    for name in targets.NAMES:
        assert f"targets/{name}/__init__.py" in names
    assert "schemas/ct.v1.schema.json" in names


def test_the_installed_wheel_compiles(built: Path, tmp_path: Path) -> None:
    """Away from the repository, the unpacked wheel alone compiles a spec."""
    [wheel] = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    spec = tmp_path / "minimal.yaml"
    spec.write_bytes((ROOT / "specs" / "minimal.yaml").read_bytes())
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from ctc.cli import main; main()",
            "compile",
            str(spec),
            "--out",
            str(tmp_path / "out"),
        ],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "sagemaker" / "pipelines" / "train.json").is_file()


def test_the_base_install_is_light() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    base = {requirement.split(">")[0] for requirement in project["dependencies"]}

    assert base == {"click", "jinja2", "jsonschema", "pyyaml", "tzdata"}
    assert {"runtime", "kubeflow", "sagemaker", "all", "dev"} <= set(project["optional-dependencies"])


def test_no_requirement_file_names_an_index() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        text = file.read_text()
        assert "://" not in text, file.name
        assert "--index" not in text, file.name
        assert "--find-links" not in text, file.name
