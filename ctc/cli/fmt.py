"""`ctc fmt`."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from ctc.cli.common import DIFFERENT, OK, SPEC_ERRORS, print_diagnostics
from ctc.diagnostics import CtcError, Severity

STDIN = "<stdin>"


@dataclass(frozen=True)
class _Spec:
    """One spec as it is and as it is to be, in bytes."""

    file: str
    before: bytes
    after: bytes


@click.command()
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--check", is_flag=True, help="Write nothing; list the files that would change, and exit 4 if any would.")
@click.option("--diff", is_flag=True, help="Write nothing; print what would change.")
def fmt(specs: tuple[Path, ...], check: bool, diff: bool) -> int:
    """Lay out each SPEC in the canonical way. `-` is standard input, which goes to standard output.

    Sections come in the language's order, each with the comments above it; blank lines, indentation, line ends and
    durations (PT6H is 6h) get one form. Comments, quotes and the layout of texts and [lists] stay as they are, and what
    the spec means too: that is checked before anything is written.

    \b
    Examples:
      ctc fmt ctc.yaml
      ctc fmt specs/*.yaml --check
      ctc fmt - < ctc.yaml
    """
    piped = Path("-") in specs
    if piped and len(specs) > 1:
        raise click.UsageError("`-` goes alone: standard input is one spec")
    found = [_formatted(path) for path in dict.fromkeys(specs)]
    readable = [item for item in found if item is not None]
    changed = [item for item in readable if item.before != item.after]
    if diff:
        for item in changed:
            _print_diff(item)
    if check:
        _list(changed, len(readable), names=not diff)
    elif not diff and piped:
        for item in readable:
            _print_bytes(item.after)
    elif not diff:
        for item in readable:
            _write(item)
    if len(readable) < len(found):
        return SPEC_ERRORS
    return DIFFERENT if check and changed else OK


def _formatted(path: Path) -> _Spec | None:
    """None for what is no YAML that a spec can be; it is said why."""
    from ctc.language.fmt import format_text
    from ctc.language.source import MAX_BYTES, decode, read

    file = STDIN if path == Path("-") else str(path)
    if path == Path("-"):
        content = sys.stdin.buffer.read(MAX_BYTES + 1)
    elif path.is_file():
        content = path.read_bytes()
    else:
        refused = read(path).diagnostics
        if not refused:
            raise CtcError(f"{path} is no regular file", f"read it from standard input: ctc fmt - < {path}")
        print_diagnostics(refused)
        return None
    document = decode(content, file)
    if any(item.severity is Severity.ERROR for item in document.diagnostics):
        print_diagnostics(document.diagnostics, sources={file: document.text})
        return None
    result = format_text(document.text, file)
    assert result.text is not None, "it was read a moment ago"
    return _Spec(file, content, result.text.encode())


def _list(changed: list[_Spec], count: int, *, names: bool) -> None:
    if names:
        for item in changed:
            click.echo(item.file)
    if changed:
        verb = "is" if len(changed) == 1 else "are"
        click.echo(
            f"{len(changed)} of {count} {verb} not in the canonical layout: run `ctc fmt` without --check", err=True
        )


def _print_diff(item: _Spec) -> None:
    from difflib import unified_diff

    before, after = (text.decode().splitlines(keepends=True) for text in (item.before, item.after))
    for line in unified_diff(before, after, item.file, f"{item.file} (canonical)"):
        ended = line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
        _print_bytes(ended.encode())


def _print_bytes(content: bytes) -> None:
    """As they are, line ends too."""
    sys.stdout.flush()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def _write(item: _Spec) -> None:
    """Replaces the file whole or not at all; its permissions stay, and a link stays a link."""
    if item.before == item.after:
        click.echo(f"{item.file}: ok")
        return
    file = Path(item.file).resolve()
    if file.read_bytes() != item.before:
        raise CtcError(f"{item.file} has changed meanwhile; it is left as it is", "run ctc fmt again")
    partial = file.with_name(f".{file.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(item.after)
        shutil.copymode(file, partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    click.echo(f"{item.file}: formatted")
