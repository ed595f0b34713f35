"""`ctc fmt` on files and pipes: what it writes, what it leaves alone, and its exit codes."""

from __future__ import annotations

import io
import stat
import sys
from pathlib import Path

import pytest

from ctc.cli.common import guarded
from ctc.cli.fmt import fmt
from ctc.language import fmt as layout

MESSY, CLEAN = b"task: binary  \nname: x # why\n", b"name: x # why\ntask: binary\n"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "ctc.yaml"
    file.write_bytes(MESSY)
    return file


def pipe(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))


def test_a_file_keeps_its_permissions_and_a_link_stays_one(spec: Path) -> None:
    spec.chmod(0o640)
    link = spec.parent / "link.yaml"
    link.symlink_to("ctc.yaml")

    assert guarded(fmt, [str(link)]) == 0
    assert link.is_symlink()
    assert spec.read_bytes() == CLEAN
    assert stat.S_IMODE(spec.stat().st_mode) == 0o640
    assert sorted(item.name for item in spec.parent.iterdir()) == ["ctc.yaml", "link.yaml"]


def test_a_file_that_is_canonical_is_not_written(spec: Path) -> None:
    spec.write_bytes(CLEAN)
    before = spec.stat()

    assert guarded(fmt, [str(spec)]) == 0
    assert (spec.stat().st_ino, spec.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("option", ["--check", "--diff"])
def test_looking_writes_nothing(spec: Path, option: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert guarded(fmt, [str(spec), option]) == (4 if option == "--check" else 0)
    assert spec.read_bytes() == MESSY
    assert capfd.readouterr().out.startswith(str(spec) if option == "--check" else f"--- {spec}\n")


def test_the_mark_and_the_line_ends_go_through_a_pipe_as_bytes(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    pipe(monkeypatch, b"\xef\xbb\xbf" + MESSY.replace(b"\n", b"\r\n"))

    assert guarded(fmt, ["-"]) == 0
    assert capfdbinary.readouterr().out == CLEAN.replace(b"\n", b"\r\n")


@pytest.mark.parametrize("content", [b"name: [x\n", b"", b"name: \xe4\n", b"name: x\nname: y\n"])
def test_what_is_no_yaml_is_left_and_gives_nothing(
    spec: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    spec.write_bytes(content)
    pipe(monkeypatch, content)

    assert guarded(fmt, [str(spec)]) == 1
    assert guarded(fmt, ["-"]) == 1
    assert spec.read_bytes() == content
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.count("error[CT0") == 2


def test_an_error_in_one_spec_does_not_stop_the_others(spec: Path) -> None:
    wrong = spec.with_name("wrong.yaml")
    wrong.write_text("name: [x\n")

    assert guarded(fmt, [str(wrong), str(spec)]) == 1
    assert spec.read_bytes() == CLEAN
    assert guarded(fmt, [str(wrong), str(spec), "--check"]) == 1


def test_a_layout_with_another_meaning_is_not_written(
    spec: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(layout, "_tidied", lambda read: [line.replace("binary", "regression") for line in read.lines])

    assert guarded(fmt, [str(spec)]) == 3
    assert "left as it is" in capfd.readouterr().err
    assert spec.read_bytes() == MESSY


def test_a_file_that_changes_meanwhile_is_left(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    format_text = layout.format_text

    def slow(text: str, file: str) -> layout.Formatted:
        spec.write_text("name: somebody else's\n")
        return format_text(text, file)

    monkeypatch.setattr(layout, "format_text", slow)

    assert guarded(fmt, [str(spec)]) == 3
    assert spec.read_text() == "name: somebody else's\n"
