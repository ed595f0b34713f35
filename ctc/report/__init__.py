"""Findings for readers: people, programs, code scanning, and the log of a GitHub job. What looks secret is starred."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ctc.diagnostics import Diagnostic, Severity
from ctc.report.frames import DOCS, WIDTH, render
from ctc.report.secrets import mask, masked

__all__ = [
    "DOCS",
    "LIMIT",
    "WIDTH",
    "as_github",
    "as_json",
    "as_sarif",
    "colored",
    "mask",
    "masked",
    "most_important",
    "render",
    "summary",
]

LIMIT = 20
"""Findings of one file that a person is shown at once."""


def as_json(diagnostics: Sequence[Diagnostic], sources: Mapping[str, str] | None = None, files: int = 0) -> str:
    """The document that `diagnostics.v1.schema.json` describes. Without a file's text in `sources`, no byte offsets.

    `files` is how many specs were looked at, those without findings included.
    """
    from ctc.report.data import as_json as write

    return write(diagnostics, sources or {}, files)


def as_sarif(diagnostics: Sequence[Diagnostic], sources: Mapping[str, str] | None = None, root: str = "") -> str:
    """SARIF 2.1.0, with paths relative to the folder `root`."""
    from ctc.report.sarif import as_sarif as write

    return write(diagnostics, sources or {}, root)


def as_github(diagnostics: Sequence[Diagnostic], sources: Mapping[str, str] | None = None, root: str = "") -> str:
    """Workflow commands of GitHub Actions, one a line, with paths relative to the folder `root`."""
    from ctc.report.github import as_github as write

    return write(diagnostics, sources or {}, root)


def summary(diagnostics: Sequence[Diagnostic]) -> str:
    """`2 errors, 1 warning`, or an empty text if there is none of either."""
    counts = [(sum(item.severity is kind for item in diagnostics), str(kind)) for kind in Severity]
    return ", ".join(f"{count} {name}{'s' if count > 1 else ''}" for count, name in counts if count)


def most_important(diagnostics: Sequence[Diagnostic], limit: int) -> tuple[Diagnostic, ...]:
    """So many findings, errors before warnings, in the order in which they were given."""
    ranks = list(Severity)
    chosen = sorted(range(len(diagnostics)), key=lambda index: (ranks.index(diagnostics[index].severity), index))
    return tuple(diagnostics[index] for index in sorted(chosen[:limit]))


def colored(is_terminal: bool, environment: Mapping[str, str]) -> bool:
    """Whether to colour: on a terminal, or where FORCE_COLOR asks for it, and never where NO_COLOR is set."""
    if environment.get("NO_COLOR"):
        return False
    forced = environment.get("FORCE_COLOR")
    return is_terminal if not forced else forced != "0"
