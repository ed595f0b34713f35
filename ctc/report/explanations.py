"""What a code means, why it matters, and what right and wrong look like: from the rules themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ctc.diagnostics import Severity
from ctc.language.ignore import ignorable

if TYPE_CHECKING:
    from ctc.language.checks import Rule

GROUPS = {
    "CT0": "the file and its YAML",
    "CT1": "the shape of the spec",
    "CT2": "what the spec means",
    "CT3": "what a target can take",
    "CT4": "cost and policy",
    "CT5": "security",
}
"""The first digit of a code."""

_WARNINGS = ("CT021", "CT022", "CT023", "CT024", "CT224", "CT390")
"""Warnings whose rules have no function, and so no severity of their own."""


@dataclass(frozen=True)
class Explanation:
    """`severity` is None where it depends on the spec. Of `why`, `wrong` and `right` any may be empty."""

    code: str
    title: str
    severity: Severity | None
    why: str = ""
    wrong: str = ""
    right: str = ""

    @property
    def can_be_ignored(self) -> bool:
        return self.severity is not None and ignorable(self.code, self.severity)

    @property
    def ignoring(self) -> str:
        """Whether a comment can silence it, as a sentence."""
        if self.can_be_ignored:
            return f"Where it does no harm, say so on its line: `# ctc: ignore[{self.code}] reason`."
        if self.severity is None:
            return "Where it is a warning it can be ignored with a comment and a reason; an error cannot."
        return "It cannot be ignored."

    def text(self) -> str:
        """The explanation as plain text."""
        parts = [_sentence(self.title), self.why]
        parts += [f"{name}:\n\n{_indented(snippet)}" for name, snippet in self.examples()]
        return "\n\n".join(part for part in (*parts, self.ignoring) if part)

    def markdown(self) -> str:
        parts = [_sentence(self.title), self.why]
        parts += [f"{name}:\n\n```yaml\n{snippet.strip(chr(10))}\n```" for name, snippet in self.examples()]
        return "\n\n".join(part for part in (*parts, self.ignoring) if part)

    def page(self, width: int, bold: Callable[[str], str] = str) -> str:
        """The explanation for a terminal, headed as its findings are: prose fills `width`, examples stay."""
        head = self.code if self.severity is None else f"{self.severity}[{self.code}]"
        parts = [bold(f"{head}: {self.title}")]
        parts += [_filled(paragraph, width) for paragraph in self.why.split("\n\n") if paragraph]
        parts += [f"{bold(f'{name}:')}\n\n{_indented(snippet)}" for name, snippet in self.examples()]
        return "\n\n".join((*parts, _filled(self.ignoring, width))) + "\n"

    def examples(self) -> list[tuple[str, str]]:
        return [(name, text) for name, text in (("Wrong", self.wrong), ("Right", self.right)) if text.strip()]


def explanations(*, complete: bool = False) -> tuple[Explanation, ...]:
    """Of every code of the language, by code; only titles and severities unless `complete`.

    Targets have codes of their own beside these.
    """
    from ctc.language.checks import CHECKS

    return tuple(_explanation(rule, complete) for rule in sorted(CHECKS, key=lambda rule: rule.code))


def explanation(code: str) -> Explanation:
    """Of one code, also of a target's that the language does not know."""
    from ctc.language.checks import CHECKS

    rule = next((rule for rule in CHECKS if rule.code == code), None)
    return Explanation(code, _of_group(code), None) if rule is None else _explanation(rule, complete=True)


def close_codes(code: str, known: Iterable[str]) -> list[str]:
    """Codes that somebody may have meant."""
    from difflib import get_close_matches

    wanted = code.upper().strip()
    digits = "".join(character for character in wanted if character.isdigit())
    return get_close_matches(f"CT{digits}" if digits else wanted, list(known), 3, 0.75)


def _explanation(rule: Rule, complete: bool) -> Explanation:
    severity = getattr(rule, "severity", Severity.WARNING if rule.code in _WARNINGS else Severity.ERROR)
    if not complete:
        return Explanation(rule.code, rule.title, severity)
    try:
        page = rule.explanation
    except FileNotFoundError:
        # A code may be newer than its page; a test of the pages finds that.
        return Explanation(rule.code, rule.title, severity)
    return Explanation(rule.code, rule.title, severity, page.why, page.wrong, page.right)


def _of_group(code: str) -> str:
    return f"a matter of {GROUPS.get(code[:3], 'the spec')}; each finding says which"


def _sentence(title: str) -> str:
    return f"Finds {title}."


def _indented(snippet: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in snippet.strip("\n").split("\n"))


def _filled(paragraph: str, width: int) -> str:
    from textwrap import fill

    return fill(" ".join(paragraph.split()), width, break_long_words=False, break_on_hyphens=False)
