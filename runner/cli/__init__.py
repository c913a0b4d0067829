"""The command line: `runner COMMAND`. One file per command; this one only puts them together.

Owns exit codes (0 done, 1 failed, 2 wrong usage) and the one sentence that an error becomes.
Start-up imports neither llama.cpp nor the web framework nor the Hub client.
"""

from __future__ import annotations

import sys

import typer

from runner.errors import RunnerError

from . import (
    bench,
    chat,
    doctor,
    export,
    import_,
    list_,
    plan,
    providers,
    ps,
    pull,
    remove,
    serve,
    show,
    usage,
    verify,
)

app = typer.Typer(
    name="runner",
    help="Run Nous Research's Hermes models on this machine, and hosted when they do not fit.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.command)
app.command("chat")(chat.command)
app.command("pull")(pull.command)
app.command("list")(list_.command)
app.command("show")(show.command)
app.command("plan")(plan.command)
app.command("verify")(verify.command)
app.command("remove")(remove.command)
app.command("import")(import_.command)
app.command("export")(export.command)
app.command("ps")(ps.command)
app.command("usage")(usage.command)
app.add_typer(providers.app, name="providers")
app.command("doctor")(doctor.command)
app.command("bench")(bench.command)


def version(show: bool) -> None:
    """Print the version and end."""
    if show:
        from runner import __version__

        typer.echo(f"runner {__version__}")
        raise typer.Exit


@app.callback()
def options(
    _version: bool = typer.Option(
        False, "--version", callback=version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Options of every command."""


def main() -> None:
    """The console script."""
    try:
        app()
    except RunnerError as error:
        from runner.egress import redact

        print(f"runner: {redact(str(error))}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(1)
