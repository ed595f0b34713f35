"""The command line: the only place that prints or exits. Each verb is one module, imported when it is called."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from ctc import __version__

if TYPE_CHECKING:
    import click

VERBS: dict[str, str] = {
    "validate": "Check a spec: shape, meaning, and what each target can take.",
    "compile": "Compile a spec into the pipeline definitions of its targets.",
    "run": "Run the compiled pipelines on this machine, at one instant or many.",
    "runs": "List and show the records of past runs.",
    "schema": "Print the JSON Schema of the language, for editors.",
}


def main() -> NoReturn:
    """Entry point of `ctc`. A failure that the user can mend is a sentence, never a traceback."""
    # Answered before click is imported: a version is asked for by scripts, many times.
    if sys.argv[1:] in (["--version"], ["-V"]):
        print(f"ctc {__version__}")
        sys.exit(0)
    from ctc.cli.common import guarded

    sys.exit(guarded(_group()))


def _group() -> click.Group:
    import click

    class Verbs(click.Group):
        def list_commands(self, ctx: click.Context) -> list[str]:
            return list(VERBS)

        def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
            if name not in VERBS:
                return None
            command: click.Command = getattr(import_module(f"ctc.cli.{name}"), name.replace("compile", "compile_"))
            return command

        def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            # From the table, so that `ctc --help` imports no verb.
            with formatter.section("Verbs"):
                formatter.write_dl(list(VERBS.items()))

    @click.group(
        cls=Verbs,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog="Start with: ctc validate ctc.yaml. Exit codes: 0 done, 1 the spec has errors, 2 usage, "
        "3 could not do it, 4 differences (where asked), 130 interrupted.",
        no_args_is_help=True,
    )
    @click.version_option(__version__, "-V", "--version", prog_name="ctc", message="%(prog)s %(version)s")
    def ctc() -> None:
        """Continuous training as code: one spec, compiled for every engine, run for real on this machine."""

    return ctc


if os.environ.get("CTC_DEBUG") == "1":
    import faulthandler

    faulthandler.enable()
