"""What the verbs share: exit codes, shared options, loading a spec and printing its findings, the error boundary."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import click

from ctc.diagnostics import CtcError, Diagnostic

OK, SPEC_ERRORS, USAGE, FAILED, DIFFERENT, INTERRUPTED = 0, 1, 2, 3, 4, 130


def guarded(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code; every failure becomes a message on stderr."""
    _open_streams()
    try:
        result = command.main(
            args=None if arguments is None else list(arguments), prog_name="ctc", standalone_mode=False
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else OK
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.Abort:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return USAGE
    except BrokenPipeError:
        # The reader (head, less) went away; Python must not complain about it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except CtcError as error:
        return say_failure(error.message, error.help)
    except OSError as error:
        place = f" ({_whole(error.filename)})" if error.filename else ""
        return say_failure(f"{error.strerror or error}{place}")
    except Exception as error:  # noqa: BLE001  (the boundary: nothing a user does may end in a traceback)
        if os.environ.get("CTC_DEBUG") == "1":
            traceback.print_exc()
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return say_failure(
            f"internal error: {type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})",
            "this is a bug in ctc; run again with CTC_DEBUG=1 for the traceback to report",
        )


def _open_streams() -> None:
    """Gives a closed standard stream (`>&-`) the null device: else the next file opened would take its number."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is this one: those below are open by now.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def _whole(file: object) -> str:
    """A path and, if it is relative, where that leads from here."""
    text = os.fsdecode(file) if isinstance(file, str | bytes) else str(file)
    return text if Path(text).is_absolute() else f"{text}, which is {Path(text).absolute()}"


def say_failure(message: str, help: str = "") -> int:
    """Prints a failure on stderr and returns its exit code."""
    click.echo(f"error: {message}", err=True)
    if help:
        click.echo(f"  = help: {help}", err=True)
    return FAILED


def use_color(stream_is_tty: bool) -> bool:
    """Colour only on a terminal, and never where NO_COLOR is set."""
    return stream_is_tty and not os.environ.get("NO_COLOR")


def print_diagnostics(
    diagnostics: Sequence[Diagnostic], *, err: bool = True, sources: Mapping[str, str] | None = None
) -> None:
    """The findings as text, with source frames, on stderr (or stdout). `sources` has the texts that are in no file."""
    if not diagnostics:
        return
    from ctc.report import render

    stream = sys.stderr if err else sys.stdout
    texts = {**read_sources(diagnostics), **(sources or {})}
    click.echo(render([_told(item) for item in diagnostics], texts, use_color(stream.isatty())), err=err, nl=False)


def _told(item: Diagnostic) -> Diagnostic:
    """A file that is not there, with the place where it was looked for."""
    if item.span is not None or item.help or not item.file or Path(item.file).exists():
        return item
    return item if Path(item.file).is_absolute() else replace(item, help=f"there is no {Path(item.file).absolute()}")


def read_sources(diagnostics: Iterable[Diagnostic]) -> dict[str, str]:
    """The text of each file that a finding points into; a file that cannot be read is left out."""
    files = {item.span.file for item in diagnostics if item.span is not None}
    texts: dict[str, str] = {}
    for file in files:
        if Path(file).is_file():
            texts[file] = Path(file).read_text(encoding="utf-8", errors="replace")
    return texts
