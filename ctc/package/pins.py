"""Digests into the lock: whose they are, and what they were made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctc.compiler.bundle import as_json
from ctc.diagnostics import CtcError
from ctc.language.lock import LOCK, Lock, Pin, as_document, is_digest, name_of, read_lock
from ctc.package.context import Context, tag_of
from ctc.package.disk import replace_file

FORM = "write it as the registry says it: NAME[:TAG]@sha256:... with 64 hexadecimal digits"


@dataclass(frozen=True)
class Given:
    """A digest that somebody gives: of which image, by its name and, where one was written, its tag."""

    image: str
    digest: str

    @property
    def tag(self) -> str:
        return self.image.removeprefix(name_of(self.image)).removeprefix(":")


def given(text: str) -> Given:
    """`IMAGE@sha256:...`. CtcError for anything else."""
    image, _, digest = text.partition("@")
    if not image or not is_digest(digest):
        raise CtcError(f"--digest {text}: this is no image with its digest", FORM)
    return Given(image, digest)


def load(folder: Path) -> Lock:
    """The lock of a folder. CtcError where it cannot be read."""
    lock = read_lock(folder)
    if lock.problem:
        raise CtcError(
            f"cannot read {folder / LOCK}: {lock.problem}",
            "take it from the repository; or delete it, and pin again: ctc package --digest",
        )
    return lock


def save(folder: Path, images: Mapping[str, Pin]) -> bool:
    """Writes the lock; whether that changed it."""
    file, content = folder / LOCK, as_json(as_document(images))
    if file.is_file() and file.read_bytes() == content:
        return False
    replace_file(file, lambda stream: stream.write(content))
    return True


def pin(lock: Lock, digests: Sequence[Given], contexts: Sequence[Context], foreign: Sequence[str]) -> dict[str, Pin]:
    """The pins with those digests. `foreign` are images that ctc makes no context for: the spec's others, and bases.

    CtcError for an image that nobody names, that the spec pins by itself, or that was made of something else.
    """
    pins = dict(lock.images)
    for item in digests:
        own = [made for made in contexts if name_of(made.image) == name_of(item.image)]
        others = [image for image in foreign if name_of(image) == name_of(item.image)]
        exact = [image for image in others if image == item.image]
        if not own and not others:
            named = ", ".join(dict.fromkeys([*(made.image for made in contexts), *foreign]))
            raise CtcError(f"--digest {item.image}: no such image is used here", f"there are: {named}")
        for made in own:
            _require_same(item, made)
            pins[made.image] = Pin(item.digest, made.digest)
        for image in exact or (others if not item.tag else []):
            pins[image] = Pin(item.digest)
        if not own and not exact and item.tag:
            raise CtcError(f"--digest {item.image}: what is used here is {', '.join(others)}", "name that one")
    return pins


def stale(lock: Lock, contexts: Sequence[Context]) -> Iterator[str]:
    """What makes compiled files name other images than those that would be built now, one line each."""
    for made in contexts:
        if "@" in made.image:
            continue
        kept = lock.images.get(made.image)
        if kept is None:
            yield f"not pinned: {made.image} ({made.name}); {LOCK} has no digest of it"
        elif not kept.context:
            yield f"not known: what {made.image} ({made.name}) was made of; {LOCK} does not say it"
        elif kept.context != made.digest:
            yield f"changed: {made.name}; pinned is {tag_of(kept.context)}, now it is {tag_of(made.digest)}"


def is_pinned(lock: Lock, made: Context) -> bool:
    """Whether the lock has the digest of what this context is now."""
    kept = lock.images.get(made.image)
    return kept is not None and kept.context == made.digest


def _require_same(item: Given, made: Context) -> None:
    if "@" in made.image:
        raise CtcError(
            f"--digest {item.image}: the spec itself says {made.image}",
            f"write the digest there, or write {name_of(made.image)} alone, so that {LOCK} has it",
        )
    spec_tag = made.image.removeprefix(name_of(made.image)).removeprefix(":")
    if item.tag in ("", spec_tag, tag_of(made.digest)):
        return
    if item.tag.startswith("ctc-"):
        raise CtcError(
            f"--digest {item.image}: it was made of something else than what is here now ({tag_of(made.digest)})",
            "take the checkout that it was made of, or build it again",
        )
    raise CtcError(f"--digest {item.image}: the spec says {made.image}", f"pin that, or {made.tag}")
