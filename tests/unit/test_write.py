"""Bundles on disk: nothing that ctc did not write is ever overwritten, and a cut-short write is finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctc.compiler.bundle import Artifact, Bundle, as_json
from ctc.compiler.write import MANIFEST, differences, write
from ctc.diagnostics import CtcError


def contents(**files: str) -> dict[str, bytes]:
    import hashlib

    made = {name.replace("__", "/") + ".txt": text.encode() for name, text in files.items()}
    listed = {path: hashlib.sha256(content).hexdigest() for path, content in made.items()}
    return {**made, MANIFEST: json.dumps({"files": listed}).encode()}


def test_a_written_bundle_is_current(tmp_path: Path) -> None:
    wanted = contents(a="1", sub__b="2")
    write(wanted, tmp_path)

    assert differences(wanted, tmp_path) == []


def test_a_file_of_somebody_else_stops_the_write_before_anything_changes(tmp_path: Path) -> None:
    write(contents(a="1"), tmp_path)
    (tmp_path / "notes.md").write_text("mine")

    with pytest.raises(CtcError, match=r"notes\.md"):
        write(contents(a="2"), tmp_path)
    assert (tmp_path / "a.txt").read_text() == "1"


def test_an_edited_file_stops_the_write(tmp_path: Path) -> None:
    write(contents(a="1"), tmp_path)
    (tmp_path / "a.txt").write_text("edited")

    with pytest.raises(CtcError, match="edited since"):
        write(contents(a="2"), tmp_path)


def test_a_file_that_is_as_wanted_is_left_alone(tmp_path: Path) -> None:
    write(contents(a="1", b="1"), tmp_path)
    before = {name: (tmp_path / name).stat().st_ino for name in ("a.txt", "b.txt")}
    write(contents(a="1", b="2"), tmp_path)

    assert (tmp_path / "a.txt").stat().st_ino == before["a.txt"]
    assert (tmp_path / "b.txt").read_text() == "2"


def test_a_file_that_left_the_bundle_is_removed(tmp_path: Path) -> None:
    write(contents(a="1", sub__b="2"), tmp_path)
    write(contents(a="1"), tmp_path)

    assert sorted(item.name for item in tmp_path.rglob("*")) == ["a.txt", MANIFEST]


def test_a_write_that_was_cut_short_is_finished_by_the_next(tmp_path: Path) -> None:
    write(contents(a="1", b="1"), tmp_path)
    new = contents(a="2", b="2")
    (tmp_path / "a.txt").write_bytes(new["a.txt"])
    write(new, tmp_path)

    assert differences(new, tmp_path) == []


def test_differences_name_each_file(tmp_path: Path) -> None:
    write(contents(a="1", b="1"), tmp_path)
    (tmp_path / "extra").write_text("x")

    assert differences(contents(a="2", c="1"), tmp_path) == [
        "differs: a.txt",
        "missing: c.txt",
        "differs: manifest.json",
        "not part of the bundle: b.txt",
        "not part of the bundle: extra",
    ]


def test_a_bundle_refuses_unsorted_files() -> None:
    with pytest.raises(ValueError, match="sorted"):
        Bundle("t", (Artifact("b", b""), Artifact("a", b"")))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner)
)


@given(st.dictionaries(st.text(), JSON) | st.lists(JSON))
def test_a_files_json_is_what_the_standard_library_writes(value: Any) -> None:
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    assert as_json(value) == text.encode()


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": [float("inf")]}, {1: "a"}, {"a": {2}}])
def test_what_json_has_no_form_for_is_refused(value: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        as_json(value)
