"""The command line: the only place that prints or exits. Each verb is one module, imported when it is called."""

from __future__ import annotations

import os
import sys

from ctc import __version__

TYPE_CHECKING = False
"""As `typing` has it, whose import would be half of what `ctc --version` takes."""

if TYPE_CHECKING:
    from typing import NoReturn

    import click
    from click.shell_completion import CompletionItem

VERBS: dict[str, str] = {
    "init": "Write a spec for the data and the scripts of a folder.",
    "validate": "Check a spec: shape, meaning, and what each target can take.",
    "fmt": "Lay out a spec in the canonical way, keeping its comments.",
    "compile": "Compile a spec into the pipeline definitions of its targets.",
    "graph": "Draw a spec: triggers, pipelines, gates, rollout.",
    "diff": "Say what a change of specs means, for a reviewer.",
    "run": "Run the compiled pipelines on this machine, at one instant or many.",
    "package": "Write what a spec's images are built from, and pin their digests.",
    "plan": "Say what a deploy would do to the target's service.",
    "deploy": "Make the target's service hold what a spec says.",
    "status": "Say what is deployed, whether it was changed there, and how it stands.",
    "trigger": "Ask what is deployed for a run now.",
    "destroy": "Take away what a deploy made.",
    "cost": "Estimate what a spec costs, a run and a month, by a dated price book.",
    "bootstrap": "Print what an administrator does once, before a spec is deployed.",
    "render": "Print a spec as it holds in an environment, and where each value comes from.",
    "explain": "Say what a finding's code means, and what is right instead.",
    "runs": "List and show the records of past runs.",
    "approve": "Say yes to the version that waits for approval, or look at what waits.",
    "reject": "Say no to the version that waits for approval.",
    "adopt": "Take the model in production as the first champion.",
    "rollback": "Make the previous champion the champion again, and hold the triggers.",
    "resume": "End the hold after a rollback.",
    "doctor": "Check this installation, and that what a spec needs is here.",
    "schema": "Print the JSON Schema of the language, for editors.",
    "completion": "Print the script by which a shell completes ctc.",
}


def main() -> NoReturn:
    """Entry point of `ctc`. A failure that the user can mend is a sentence, never a traceback."""
    # Answered before click is imported: a version is asked for by scripts, many times.
    if sys.argv[1:] in (["--version"], ["-V"]):
        print(f"ctc {__version__}")
        sys.exit(0)
    import gc

    # Most verbs are over before a collection would pay for itself; the long ones still get some.
    gc.set_threshold(100_000)
    from ctc.cli.common import guarded

    code = guarded(_group())
    # Else Python searches all that is left for garbage before it ends: a tenth of the time of a compile.
    gc.freeze()
    sys.exit(code)


def _group() -> click.Group:
    import click

    class Verbs(click.Group):
        def list_commands(self, ctx: click.Context) -> list[str]:
            return list(VERBS)

        def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
            if name not in VERBS:
                return None
            from importlib import import_module

            command: click.Command = getattr(import_module(f"ctc.cli.{name}"), name.replace("compile", "compile_"))
            if ctx.resilient_parsing:
                from ctc.cli.completion import attach

                attach(command)
            return command

        def resolve_command(
            self, ctx: click.Context, args: list[str]
        ) -> tuple[str | None, click.Command | None, list[str]]:
            name = args[0]
            if name not in VERBS and not name.startswith("-") and not ctx.resilient_parsing:
                raise click.UsageError(f"there is no verb `{name}`{_instead(name)}", ctx)
            return super().resolve_command(ctx, args)

        def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
            # From the table too; click would import every verb.
            from click.shell_completion import CompletionItem

            verbs = [CompletionItem(name, help=text) for name, text in VERBS.items() if name.startswith(incomplete)]
            return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

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


def _instead(name: str) -> str:
    """What somebody meant by `name`. An abbreviation is never taken for its verb: a new one may begin alike."""
    from difflib import get_close_matches

    if name.endswith((".yaml", ".yml")):
        return f": say what to do with the spec, for instance: ctc validate {name}"
    near = [verb for verb in VERBS if name and verb.startswith(name)] or get_close_matches(name, VERBS, 1)
    return (
        f"; did you mean {' or '.join(f'`ctc {verb}`' for verb in near)}?"
        if near
        else f"; there are: {', '.join(VERBS)}"
    )


if os.environ.get("CTC_DEBUG") == "1":
    import faulthandler

    faulthandler.enable()
