"""What a spec asks for that this version checks and compiles, but does not run."""

from __future__ import annotations

from collections.abc import Sequence

from ctc.diagnostics import Diagnostic, Severity
from ctc.language.spans import Path, Spans, at

CODE = "CT390"

CODES: dict[str, str] = {CODE: "parts of the language that this version compiles but does not run yet"}

_SHOWN = 8


def finding(paths: Sequence[Path], spans: Spans) -> Diagnostic | None:
    """One warning for all of them, at the first; None where there are none."""
    if not paths:
        return None
    names = [f"`{'.'.join(map(str, path))}`" for path in paths]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return Diagnostic(
        CODE,
        Severity.WARNING,
        f"this version does not run yet: {', '.join(names[:_SHOWN])}{more}",
        ".".join(map(str, paths[0])),
        at(spans, paths[0], key=True),
        help="the spec is checked and compiled whole; `ctc run` and the compiled steps refuse it rather than leave "
        "that out",
    )
