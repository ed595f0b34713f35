"""What the verbs share: exit codes, shared options, loading a spec and printing its findings, the error boundary."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctc.diagnostics import CtcError, Diagnostic, Severity

if TYPE_CHECKING:
    from ctc.language.spec import Spec

OK, SPEC_ERRORS, USAGE, FAILED, DIFFERENT, INTERRUPTED = 0, 1, 2, 3, 4, 130


def guarded(command: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code; every failure becomes a message on stderr."""
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
        place = f" ({error.filename})" if error.filename else ""
        return say_failure(f"{error.strerror or error}{place}")
    except Exception as error:  # noqa: BLE001  (the boundary: nothing a user does may end in a traceback)
        if os.environ.get("CTC_DEBUG") == "1":
            traceback.print_exc()
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return say_failure(
            f"internal error: {type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno})",
            "this is a bug in ctc; run again with CTC_DEBUG=1 for the traceback to report",
        )


def say_failure(message: str, help: str = "") -> int:
    """Prints a failure on stderr and returns its exit code."""
    click.echo(f"error: {message}", err=True)
    if help:
        click.echo(f"  = help: {help}", err=True)
    return FAILED


def use_color(stream_is_tty: bool) -> bool:
    """Colour only on a terminal, and never where NO_COLOR is set."""
    return stream_is_tty and not os.environ.get("NO_COLOR")


def print_diagnostics(diagnostics: Sequence[Diagnostic], *, err: bool = True) -> None:
    """The findings as text, with source frames, on stderr (or stdout)."""
    if not diagnostics:
        return
    from ctc.report import render

    stream = sys.stderr if err else sys.stdout
    click.echo(render(diagnostics, read_sources(diagnostics), color=use_color(stream.isatty())), err=err, nl=False)


def read_sources(diagnostics: Iterable[Diagnostic]) -> dict[str, str]:
    """The text of each file that a finding points into; a file that cannot be read is left out."""
    files = {item.span.file for item in diagnostics if item.span is not None}
    texts: dict[str, str] = {}
    for file in files:
        if Path(file).is_file():
            texts[file] = Path(file).read_text(encoding="utf-8", errors="replace")
    return texts


def load_or_exit(path: Path, environment: str | None, target: str | None) -> Spec:
    """The spec, or its findings on stderr and exit code 1. Warnings are printed and do not stop."""
    from ctc.language.load import load_spec

    loaded = load_spec(path, environment, target)
    print_diagnostics(loaded.diagnostics)
    if loaded.spec is None or any(item.severity is Severity.ERROR for item in loaded.diagnostics):
        raise click.exceptions.Exit(SPEC_ERRORS)
    return loaded.spec
