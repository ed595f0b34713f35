"""`ctc doctor`: what it finds wrong, what it says to do, and that it neither raises nor loads an SDK."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import project
import pytest

from ctc import doctor as examined
from ctc.cli.common import guarded
from ctc.cli.doctor import doctor
from ctc.doctor import satisfies

ROOT = Path(__file__).resolve().parents[2]
Found = dict[str, tuple[str, str, str]]


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    return project.make(tmp_path / "toy", days=2)


def answers(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, Found]:
    """The exit code, and status, finding and advice by what was looked at."""
    code = guarded(doctor, [*map(str, arguments), "-o", "json"])
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert document["ok"] == (code == 0)
    return code, {item["what"]: (item["status"], item["found"], item["advice"]) for item in document["checks"]}


def test_a_sound_installation_passes_and_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(doctor, []) == 0
    lines = capsys.readouterr().out.splitlines()

    assert {line[:4] for line in lines} <= {"ok  ", "warn", "skip"}
    assert f"ok    packages         click {importlib.metadata.version('click')}," in "\n".join(lines)
    assert len({len(line) - len(line[6:].split("  ", 1)[-1].lstrip()) for line in lines}) == 1


def test_a_spec_that_can_run_here_passes(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = answers(capsys, toy, "--python", sys.executable)

    assert code == 0
    assert found["spec"][:2] == ("ok", f"{toy}: valid")
    assert found["source visits"][0] == found["training.argv"][0] == found["target kubeflow"][0] == "ok"
    assert (
        found["target sagemaker, deploy"][0] == "skip" and "not checked offline" in found["target sagemaker, deploy"][1]
    )
    assert not (toy.parent / ".ctc").exists()


def test_what_a_spec_lacks_is_named_with_what_to_do(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (toy.parent / "data/visits.parquet").unlink()
    (toy.parent / "predict.py").unlink()
    train = toy.parent / "train.py"
    train.write_text("import no_such_module\n" + train.read_text())
    code, found = answers(capsys, toy, "--python", sys.executable)

    assert code == 3
    assert found["source visits"] == (
        "fail",
        "data/visits.parquet: there is no such file",
        "mend its path, or bring the data",
    )
    assert found["training.argv"][1].startswith("train.py imports no_such_module, which")
    assert found["training.predict"][:2] == ("fail", f"there is no {toy.parent / 'predict.py'}")
    assert found["source prices"][0] == "ok"


def test_remote_data_is_not_looked_for(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    toy.write_text(toy.read_text().replace("data/visits.parquet", "s3://acme/visits/"))
    _, found = answers(capsys, toy, "--python", sys.executable)
    assert found["source visits"] == ("skip", "s3://acme/visits/: not checked offline", "")


@pytest.mark.parametrize(
    ("change", "arguments", "what", "said"),
    [
        (("task: binary", "task: binry"), [], "spec", "1 errors, the first"),
        (("", ""), ["--env", "prod"], "spec", "1 errors, the first"),
        (("code: .", "code: nowhere"), [], "training code", "nowhere is no folder"),
        (("", ""), ["--python", "no-such-python"], "user's python", "there is no such program"),
        (("  sagemaker: {", "  kubeflow_: {"), [], "spec", "errors, the first"),
    ],
)
def test_a_spec_with_a_fault_fails(
    change: tuple[str, str], arguments: list[str], what: str, said: str, toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.write_text(toy.read_text().replace(*change) if change[0] else toy.read_text())
    code, found = answers(capsys, toy, *(arguments or ["--python", sys.executable]))

    assert code == 3 and found[what][0] == "fail"
    assert said in found[what][1]


def test_a_spec_that_is_not_there_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = answers(capsys, tmp_path / "none.yaml")
    assert code == 3 and "cannot read" in found["spec"][1]


def test_a_target_that_the_spec_does_not_name_fails(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = toy.read_text()
    toy.write_text(text[: text.index("  sagemaker: {region")])
    code, found = answers(capsys, toy, "--target", "sagemaker", "--python", sys.executable)

    assert code == 3 and found["target sagemaker"][1] == "the spec has no section for it"
    assert guarded(doctor, ["--target", "nowhere"]) == 2


def test_a_missing_extra_fails_only_where_it_is_needed(
    toy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = examined._version
    monkeypatch.setattr(examined, "_version", lambda name: "" if name in ("kfp", "boto3") else version(name))

    code, found = answers(capsys)
    assert code == 0 and found["extra kubeflow"] == ("warn", "missing: kfp", "pip install 'ctc-compiler[kubeflow]'")
    code, found = answers(capsys, toy, "--python", sys.executable)
    assert code == 3 and found["extra kubeflow"][0] == "fail" and found["extra sagemaker"][0] == "warn"
    code, found = answers(capsys, toy, "--python", sys.executable, "--target", "sagemaker")
    assert code == 0 and found["extra kubeflow"][0] == "warn"


def test_an_old_package_is_told_with_the_range(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    version = examined._version
    monkeypatch.setattr(examined, "_version", lambda name: "7.1" if name == "click" else version(name))
    code, found = answers(capsys)
    assert code == 3 and found["packages"][:2] == ("fail", "click 7.1 (wanted >=8.1)")


def test_an_uninstalled_checkout_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(examined, "DISTRIBUTION", "no-such-distribution")
    code, found = answers(capsys)
    assert code == 0 and found["packages"][0] == "warn" and "extra kubeflow" not in found


@pytest.mark.parametrize(
    ("version", "conditions", "answer"),
    [
        ("2.17.0", "<3,>=2.17", True),
        ("2.16.9", "<3,>=2.17", False),
        ("3.0.0rc1", "<3,>=2.17", False),
        ("10.0", ">=9", True),
        ("2.0", "==2", True),
        ("2.1.4", "==2.1.*", True),
        ("2.2", "==2.1.*", False),
        ("1.4.9", "~=1.4.2", True),
        ("1.5", "~=1.4.2", False),
        ("1.0", "!=1.0", False),
        ("2024.1", "", True),
    ],
)
def test_versions_are_compared_by_number(version: str, conditions: str, answer: bool) -> None:
    assert satisfies(version, conditions) is answer


def test_little_room_and_a_folder_that_takes_no_file_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(1, 1, 10**7))
    (tmp_path / "file").write_text("")
    code, found = answers(capsys, "--state", tmp_path / "file" / "state")

    assert code == 3
    assert found["state folder"][0] == "fail" and found["state folder"][2] == "name another with --state"
    assert found["disk"][:2] == ("fail", "0.0 GB free")


def test_no_zones_no_libyaml_and_no_git_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import yaml

    def no_zone(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr("zoneinfo.ZoneInfo", no_zone)
    monkeypatch.setattr(yaml, "__with_libyaml__", False)
    monkeypatch.setattr("shutil.which", lambda *_: None)
    code, found = answers(capsys)

    assert code == 3 and found["time zones"] == ("fail", "there is no database of them", "pip install tzdata")
    assert found["yaml"][0] == found["git"][0] == "warn"


def run_apart(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin", **environment},
    )


def test_missing_bytecode_is_told(tmp_path: Path) -> None:
    """With a cache folder of its own that nothing may fill, no module has bytecode."""
    program = "import sys; from ctc.cli import main; sys.argv = ['ctc', 'doctor', '-o', 'json']; main()"
    done = run_apart(program, PYTHONPYCACHEPREFIX=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")
    [found] = [item for item in json.loads(done.stdout)["checks"] if item["what"] == "bytecode"]

    assert found["status"] == "warn" and "have no bytecode" in found["found"]
    assert found["advice"].startswith("python -m compileall -q ")
    done = run_apart(program, PYTHONPYCACHEPREFIX=str(tmp_path))
    [found] = [item for item in json.loads(done.stdout)["checks"] if item["what"] == "bytecode"]
    assert found["status"] == "ok"


def test_a_narrow_terminal_gets_text_and_no_traceback(toy: Path) -> None:
    program = f"import sys; from ctc.cli import main; sys.argv = ['ctc', 'doctor', {str(toy)!r}]; main()"
    done = run_apart(program, PYTHONIOENCODING="ascii")

    assert "warn  output" in done.stdout and "PYTHONUTF8=1" in done.stdout
    assert done.stderr == ""


def test_no_sdk_is_imported_and_no_socket_opened(toy: Path) -> None:
    program = (
        "import sys, socket\n"
        "def refuse(*_): raise SystemExit('opened a socket')\n"
        "socket.socket.connect = refuse\n"
        "from ctc.cli.common import guarded\n"
        "from ctc.cli.doctor import doctor\n"
        f"code = guarded(doctor, [{str(toy)!r}, '--python', sys.executable])\n"
        "heavy = {'kfp', 'boto3', 'mlflow', 'ibis', 'duckdb', 'numpy', 'pandas', 'pyarrow', 'sagemaker'}\n"
        "print('LOADED', sorted(heavy & {name.split('.')[0] for name in sys.modules}), 'CODE', code, file=sys.stderr)\n"
    )
    done = run_apart(program)
    assert done.stderr.splitlines()[-1:] == ["LOADED [] CODE 0"], done.stderr
