"""`ctc explain`."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from ctc.cli.common import OK, USAGE

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from ctc.report.explanations import Explanation


_RECORD = re.compile(r"\d{8}T")
"""How the ID of a record begins, and no code."""


def _codes(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from ctc.report.explanations import explanations

    wanted = incomplete.upper()
    return [CompletionItem(item.code, help=item.title) for item in explanations() if item.code.startswith(wanted)]


@click.command()
@click.argument("code", required=False, metavar="[CODE | ID]", shell_complete=_codes)
@click.argument("spec", required=False, metavar="[SPEC]")
@click.option("-o", "--output", type=click.Choice(["human", "json"]), default="human", show_default=True)
@click.pass_context
def explain(context: click.Context, code: str | None, spec: str | None, output: str) -> int:
    """Say what a finding's CODE means, why it matters, and what is right instead; without a CODE, list them all.

    The ID of a record explains a decision: its verdict is derived once more from what the record holds, as
    `ctc runs show ID [SPEC] --check` does.

    \b
    Examples:
      ctc explain CT248
      ctc explain
      ctc explain -o json
      ctc explain 20130310T060000Z-1f0e9d8c models/ctc.yaml
    """
    if code is not None and _RECORD.match(code):
        from ctc.cli.runs import runs

        checked: int = context.invoke(runs, words=("show", code, *filter(None, [spec])), check=True, output=output)
        return checked
    if spec is not None:
        raise click.UsageError(f"a code is the same in every spec: ctc explain {code}")
    from ctc.report.explanations import close_codes, explanation, explanations

    every = explanations(complete=code is None and output == "json")
    if code is None:
        _list(every, output)
        return OK
    wanted = code.strip().upper()
    known = [item.code for item in every]
    if wanted not in known and wanted not in _of_targets():
        close = close_codes(wanted, known)
        advice = f"did you mean {' or '.join(f'`{name}`' for name in close)}?" if close else "`ctc explain` lists them"
        click.echo(f"error: there is no code `{_short(code)}`", err=True)
        click.echo(f"  = help: {advice}", err=True)
        return USAGE
    item = explanation(wanted)
    if output == "json":
        click.echo(_json(_data(item)), nl=False)
    else:
        click.echo(item.page(_width(), _bold()), nl=False, color=_color())
    return OK


def _of_targets() -> frozenset[str]:
    """The codes that only a target's own module knows, and those of what it costs there."""
    import re
    from importlib.resources import files

    found: set[str] = set()
    for name in ("ctc.targets", "ctc.compiler", "ctc.cost"):
        for folder in [files(name), *(entry for entry in files(name).iterdir() if entry.is_dir())]:
            for entry in folder.iterdir():
                if entry.name.endswith(".py"):
                    found.update(re.findall(r'"(CT3\d\d)"', entry.read_text(encoding="utf-8")))
    return frozenset(found)


def _list(every: Sequence[Explanation], output: str) -> None:
    if output == "json":
        click.echo(_json({"version": 1, "codes": [_data(item) for item in every]}), nl=False)
        return
    from ctc.report.explanations import GROUPS

    bold = _bold()
    lines = []
    for group, title in GROUPS.items():
        members = [item for item in every if item.code.startswith(group)]
        if members:
            lines.append(bold(f"{group}xx  {title}"))
            lines += [f"  {item.code}  {item.severity or ''!s:<8} {item.title}" for item in members]
            lines.append("")
    lines.append("ctc explain CODE says more. Targets have codes of their own, from CT300 on.")
    click.echo("\n".join(lines), color=_color())


def _data(item: Explanation) -> dict[str, Any]:
    return {
        "code": item.code,
        "title": item.title,
        "severity": str(item.severity) if item.severity is not None else None,
        "can_be_ignored": item.can_be_ignored,
        "why": item.why,
        "wrong": item.wrong,
        "right": item.right,
    }


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _width() -> int:
    """Of prose: lines longer than this are hard to read on any screen."""
    from shutil import get_terminal_size

    return max(min(get_terminal_size().columns, 100) - 1, 40)


def _color() -> bool:
    from ctc.report import colored

    return colored(sys.stdout.isatty(), os.environ)


def _bold() -> Callable[[str], str]:
    color = _color()
    return lambda text: f"\x1b[1m{text}\x1b[0m" if color else text


def _short(code: str) -> str:
    printable = "".join(character if character.isprintable() else "?" for character in code)
    return printable if len(printable) <= 20 else printable[:17] + "..."
