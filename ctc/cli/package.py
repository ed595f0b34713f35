"""`ctc package`."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctc.cli.common import DIFFERENT, OK, SPEC_ERRORS, print_diagnostics
from ctc.diagnostics import CtcError

if TYPE_CHECKING:
    from ctc.language.lock import Lock
    from ctc.language.spec import Spec
    from ctc.package.images import Packed, Wanted
    from ctc.package.pins import Given

OUT = "images"
LARGEST = 3
"""So many parts of a context are shown with their sizes."""


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@click.option("--env", "environment", metavar="E", help="An environment of the spec.")
@click.option("--target", metavar="T", help="As this target's variables have it.")
@click.option("--row", metavar="ROW", help="A row of the spec's matrix. Default: the first.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="DIR", help=f"Default: {OUT}.")
@click.option("--tar", is_flag=True, help="Write NAME.tar instead of the folder NAME.")
@click.option("--base", metavar="IMAGE", default="", help="What made Dockerfiles start from. Default: python:X.Y-slim.")
@click.option("--check", is_flag=True, help="Write nothing; exit 4 if the lock pins other images than these.")
@click.option("--digest", "digests", multiple=True, metavar="IMAGE@sha256:...", help="Pin an image. Repeatable.")
@click.option("--build", is_flag=True, help="Also build what is not pinned yet, with docker or podman.")
@click.option("--push", is_flag=True, help="Also build and push it, and pin the digest that the registry tells.")
@click.option("--platform", metavar="P", default="linux/amd64", show_default=True, help="What images are built for.")
def package(
    spec: Path,
    environment: str | None,
    target: str | None,
    row: str | None,
    out: Path | None,
    tar: bool,
    base: str,
    check: bool,
    digests: tuple[str, ...],
    build: bool,
    push: bool,
    platform: str,
) -> int:
    """Write what SPEC's images are built from: the training code with its Dockerfile, and ctc for our steps.

    The same code gives the same bytes and the same tag, on every machine. Nothing is built or pushed unless asked.
    The spec names its images without digests (`image: registry.example/parcels`); ctc.lock beside it, to be
    committed, says which digest each one is, and compiled files name that. A Dockerfile in the folder of the training
    code is used as it is; .dockerignore is honoured.

    \b
    Examples:
      ctc package ctc.yaml
      ctc package ctc.yaml --digest registry.example/parcels@sha256:6d1f...
      ctc package ctc.yaml --push
      ctc package ctc.yaml --check          # in CI: is the pinned image made of this code?

    \b
    Exit codes: 0 done; 1 the spec has errors; 3 it could not be done; 4 differences (--check).
    """
    from ctc.package import pins
    from ctc.package.images import Wanted, others, pack

    if check and (digests or build or push):
        raise click.UsageError("--check changes nothing: it goes without --digest, --build and --push")
    if tar and (build or push):
        raise click.UsageError("--tar is for builders elsewhere: --build takes the folder")
    loaded = _spec(spec, environment, target, row)
    lock = pins.load(spec.parent)
    folder = out or Path(OUT)
    wanted = Wanted(loaded, spec, base, lock, (folder,))
    packed, lock = _pinned(wanted, pack(wanted), [pins.given(text) for text in digests])
    if check:
        return _check(packed, lock, out, tar=tar)
    _write(packed, folder, tar=tar)
    if digests:
        _save(spec.parent, lock)
    if build or push:
        lock = _built(packed, folder, lock, spec.parent, platform, push=push)
    for place, image in others(loaded):
        told = "" if image in lock.images or "@" in image else ", and not pinned: --digest"
        click.echo(f"{place}: {image} is yours to build{told}", err=True)
    if not tar:
        _say_next(spec, packed, folder, lock, platform)
    return OK


def _spec(path: Path, environment: str | None, target: str | None, row: str | None) -> Spec:
    """The spec with its images as they are written. Its errors are printed; exit code 1 where there are any."""
    from ctc.diagnostics import Severity
    from ctc.language.load import FIRST_ROW, load_spec
    from ctc.language.render import rows_of
    from ctc.language.source import read

    document = replace(read(path), locked=False)
    loaded = load_spec(document, environment, target, row or (FIRST_ROW if rows_of(document) else None))
    if loaded.spec is None:
        print_diagnostics(tuple(item for item in loaded.diagnostics if item.severity is Severity.ERROR))
        raise click.exceptions.Exit(SPEC_ERRORS)
    return loaded.spec


def _pinned(wanted: Wanted, packed: list[Packed], asked: list[Given]) -> tuple[list[Packed], Lock]:
    """The contexts and the lock with the digests that are given.

    A base that is pinned changes what is made of it: bases go first, then the images as they are then.
    """
    from ctc.package import pins
    from ctc.package.images import others, pack

    bases = list(dict.fromkeys(item.base for item in packed if item.base))
    of_bases = [item for item in asked if item.image in bases]
    foreign = [*(image for _, image in others(wanted.spec)), *bases]
    lock = replace(wanted.lock, images=pins.pin(wanted.lock, of_bases, (), foreign))
    if of_bases:
        packed = pack(replace(wanted, lock=lock))
    rest = [item for item in asked if item not in of_bases]
    return packed, replace(lock, images=pins.pin(lock, rest, [item.context for item in packed], foreign))


def _check(packed: Sequence[Packed], lock: Lock, out: Path | None, *, tar: bool) -> int:
    from ctc.package import disk, pins

    contexts = [item.context for item in packed]
    found = list(pins.stale(lock, contexts))
    if out is not None:
        found += disk.differences(contexts, out, tar=tar)
    for line in found:
        click.echo(line)
    if found:
        click.echo("build what changed and pin it: ctc package --push, or --digest", err=True)
    return DIFFERENT if found else OK


def _write(packed: Sequence[Packed], folder: Path, *, tar: bool) -> None:
    from ctc.package import disk

    for warning in dict.fromkeys(warning for item in packed for warning in item.warnings):
        click.echo(f"warning: {warning}", err=True)
    for item in packed:
        for note in item.notes:
            click.echo(f"{item.context.name}: {note}", err=True)
    changed = disk.write([item.context for item in packed], folder, tar=tar)
    for item in packed:
        made = item.context
        place = folder / (f"{made.name}.tar" if tar else made.name)
        state = "written" if made.name in changed else "unchanged"
        click.echo(f"{made.name}  {made.tag}  {place}  {len(made.files)} files, {_bytes(made.size)}, {state}")
        for name, size in made.largest(LARGEST):
            click.echo(f"    {_bytes(size):>9}  {name}")


def _built(packed: Sequence[Packed], folder: Path, lock: Lock, beside: Path, platform: str, *, push: bool) -> Lock:
    """Builds what the lock does not have as it is now; with `push` also pins it, one after the other."""
    from ctc.language.lock import Pin
    from ctc.package import builder, pins

    wanted = [item.context for item in packed if not pins.is_pinned(lock, item.context)]
    if push:
        by_hand = [made.image for made in wanted if "@" in made.image]
        if by_hand:
            raise CtcError(
                f"the spec itself says {by_hand[0]}: no other digest can be pinned",
                "write it without the digest, so that ctc.lock has it",
            )
    if not wanted:
        click.echo("nothing to build: the lock has the digests of these very contexts", err=True)
        return lock
    tool = builder.find()
    for made in wanted:
        builder.build(tool, made, folder / made.name, platform)
        if push:
            lock = replace(lock, images={**lock.images, made.image: Pin(builder.push(tool, made), made.digest)})
            _save(beside, lock)
    return lock


def _save(folder: Path, lock: Lock) -> None:
    from ctc.language.lock import LOCK
    from ctc.package import pins

    if pins.save(folder, lock.images):
        click.echo(f"pinned in {folder / LOCK}: commit it with the spec", err=True)


def _say_next(spec: Path, packed: Sequence[Packed], folder: Path, lock: Lock, platform: str) -> None:
    """What to type, where something is not built yet."""
    from ctc.package import builder, pins

    left = [item.context for item in packed if not pins.is_pinned(lock, item.context) and "@" not in item.context.image]
    if not left:
        return
    click.echo("next, or ctc package --push:", err=True)
    for made in left:
        build = shlex.join(builder.build_words("docker", made, folder / made.name, platform))
        click.echo(f"  {build} && {shlex.join(builder.push_words('docker', made))}", err=True)
    words = " ".join(f"--digest {made.tag}@sha256:..." for made in left)
    click.echo(f"  ctc package {shlex.quote(str(spec))} {words}", err=True)


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
