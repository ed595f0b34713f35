"""`ctc.lock`: an image that the spec names without a digest is the one that the lock names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctc import targets
from ctc.compiler.build import build
from ctc.compiler.bundle import as_json
from ctc.language.load import load_spec
from ctc.language.lock import LOCK, Pin, as_document, name_of, pinned, read_lock

ROOT = Path(__file__).resolve().parent.parent.parent
OLD = "registry.example/parcels@sha256:6d1f0c2b9a7e4d53c1f0a8b7e6d5c4b3a29180f7e6d5c4b3a29180f7e6d5c4b3"
IMAGE = "registry.example:5000/parcels:v1"
DIGEST = "sha256:" + "ab" * 32


def project(folder: Path, image: str = IMAGE, lock: bytes | None = None) -> Path:
    spec = folder / "ctc.yaml"
    spec.write_text((ROOT / "specs" / "minimal.yaml").read_text().replace(OLD, image))
    if lock is not None:
        (folder / LOCK).write_bytes(lock)
    return spec


def test_the_lock_is_as_if_the_spec_had_written_the_digest(tmp_path: Path) -> None:
    (tmp_path / "written").mkdir()
    written = load_spec(project(tmp_path / "written", pinned(IMAGE, DIGEST)))
    locked = load_spec(project(tmp_path, lock=as_json(as_document({IMAGE: Pin(DIGEST)}))))

    assert written.spec is not None and locked.spec == written.spec
    assert locked.spec.training.image == f"registry.example:5000/parcels@{DIGEST}"
    assert [item.code for item in locked.diagnostics] == [item.code for item in written.diagnostics]
    for name in locked.spec.targets:
        bundles = [build(item, targets.load(name)).bundle for item in (written.spec, locked.spec)]
        assert bundles[0] is not None and bundles[0] == bundles[1]


def test_an_image_that_the_lock_does_not_know_stays_and_is_warned_of(tmp_path: Path) -> None:
    loaded = load_spec(project(tmp_path, lock=as_json(as_document({"registry.example/other:v1": Pin(DIGEST)}))))

    assert loaded.spec is not None and loaded.spec.training.image == IMAGE
    assert "CT502" in {item.code for item in loaded.diagnostics}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[]", "not a lock of version 1"),
        (b'{"version": 2, "images": {}}', "not a lock of version 1"),
        (b'{"version": 1}', "`images` is not a map"),
        (b'{"version": 1, "images": {"a": {}}}', "`a` has no digest"),
        (b'{"version": 1, "images": {"a": {"digest": "sha256:12"}}}', "`a` has no digest"),
        (b'{"version": 1, "images": {"a": {"digest": "%s", "context": 7}}}' % DIGEST.encode(), "context of `a`"),
        (b" " * 1_000_001, "larger than 1 MB"),
    ],
)
def test_a_lock_that_cannot_be_read_is_an_error_at_its_own_place(content: bytes, said: str, tmp_path: Path) -> None:
    loaded = load_spec(project(tmp_path, lock=content))

    [error] = [item for item in loaded.diagnostics if item.severity == "error"]
    assert loaded.spec is None and error.code == "CT001" and said in error.message
    assert error.span is not None and error.span.file == str(tmp_path / LOCK)


def test_a_folder_of_that_name_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / LOCK).mkdir()

    assert "directory" in read_lock(tmp_path).problem


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("a", "a"),
        ("a:1", "a"),
        ("r.example/a/b:1", "r.example/a/b"),
        ("localhost:5000/a", "localhost:5000/a"),
        ("localhost:5000/a:1", "localhost:5000/a"),
        (f"localhost:5000/a:1@{DIGEST}", "localhost:5000/a"),
    ],
)
def test_the_name_of_an_image_keeps_its_port(image: str, name: str) -> None:
    assert name_of(image) == name
    assert pinned(image, DIGEST) == f"{name}@{DIGEST}"


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    images = {IMAGE: Pin(DIGEST, DIGEST), "b": Pin(DIGEST)}
    (tmp_path / LOCK).write_bytes(as_json(as_document(images)))

    assert dict(read_lock(tmp_path).images) == images
    assert json.loads((tmp_path / LOCK).read_text())["images"]["b"] == {"digest": DIGEST}
