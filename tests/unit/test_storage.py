"""Where a URI is kept on this machine, and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctc.steps.storage import local_path, to_uri
from ctc.steps.task import StepFailed


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    named = {"s3://bucket/a": tmp_path / "a", "s3://bucket/a/deep/": tmp_path / "deep", "gs://other": tmp_path / "a/b"}
    monkeypatch.setenv("CTC_MOUNTS", json.dumps({uri: str(folder) for uri, folder in named.items()}))
    return tmp_path


def test_a_mount_answers_for_what_lies_below_it(mounts: Path) -> None:
    assert local_path("s3://bucket/a") == mounts / "a"
    assert local_path("s3://bucket/a/x/y.json") == mounts / "a/x/y.json"


def test_the_longest_prefix_wins_and_a_name_is_no_prefix(mounts: Path) -> None:
    assert local_path("s3://bucket/a/deep/x") == mounts / "deep/x"
    assert local_path("s3://bucket/a/deeper") == mounts / "a/deeper"
    with pytest.raises(StepFailed, match="cannot be reached"):
        local_path("s3://bucket/ab")


def test_a_path_goes_back_to_the_nearest_mount(mounts: Path) -> None:
    assert to_uri(mounts / "a/x") == "s3://bucket/a/x"
    assert to_uri(mounts / "a/b/x") == "gs://other/x"
    assert to_uri(mounts / "a/b") == "gs://other"
    assert to_uri(mounts / "elsewhere") == str(mounts / "elsewhere")


@pytest.mark.parametrize("uri", ["s3://bucket/a", "s3://bucket/a/x", "s3://bucket/a/deep/x/y", "gs://other/z"])
def test_there_and_back(mounts: Path, uri: str) -> None:
    assert to_uri(local_path(uri)) == uri


def test_plain_paths_and_file_uris(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CTC_MOUNTS", raising=False)

    assert local_path("data/x.parquet") == Path("data/x.parquet")
    assert local_path("file:///data/a%20b.parquet") == Path("/data/a b.parquet")
    assert local_path("file://localhost/data/x") == Path("/data/x")


def test_another_scheme_says_which_mounts_there_are(mounts: Path) -> None:
    with pytest.raises(StepFailed, match=r"hdfs://x cannot be reached.*gs://other"):
        local_path("hdfs://x")


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"s3://a": 1}'])
def test_malformed_mounts_are_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("CTC_MOUNTS", text)

    with pytest.raises(StepFailed, match="CTC_MOUNTS is"):
        local_path("s3://a/b")
