"""The command line: demo, inspect, repack, explain, fit, predict, evaluate, compare, schema, tune.

`options` are what commands share, `files` the commands on files, `models` those on models, `fitting` is `lazyml fit`.
Commands import what they need when they run, so that `lazyml --help` answers at once. An error that a user's input can
cause is printed as text and ends with exit code 1; Ctrl-C ends with 130.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lazyml.cli import files, fitting, models
from lazyml.errors import LazymlError


class _Commands(TyperGroup):
    """The one place where errors of all commands are turned into messages and exit codes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if "--debug" in args:  # wherever it stands
            args = ["--debug", *(argument for argument in args if argument != "--debug")]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except LazymlError as error:
            if ctx.params.get("debug"):
                raise
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            print("interrupted; outputs that were not complete have not been written", file=sys.stderr)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # [data] is a section of a model file here, not a colour
    help="Train models on HDF5 data larger than memory, from formulas.",
)


def _version(show: bool) -> None:
    if show:
        from importlib import metadata

        print(metadata.version("lazyml"))
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    pass


for command in (files.demo, files.inspect, files.repack, models.explain, fitting.fit, models.predict, models.evaluate,
                models.compare, files.schema, files.tune):  # fmt: skip
    app.command()(command)


def main() -> None:
    """The entry point of the `lazyml` command."""
    app()
