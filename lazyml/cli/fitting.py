"""`lazyml fit`: trains, saves, reports; a checkpoint on the way, and what to do after Ctrl-C."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lazyml.cli.options import Force, Memory, Model, Threads, inputs
from lazyml.errors import LazymlError, OutputExistsError, ParameterError

if TYPE_CHECKING:
    from lazyml.models import Training
    from lazyml.models.reporting import TableOf

SHOWN = 40
"""Rows of a table of coefficients on a terminal; all of them are in the report."""


def fit(
    model: Model,
    out: Annotated[Path, typer.Option(help="Where the fitted model goes.", metavar="MODEL.safetensors")],
    report: Annotated[
        Path | None, typer.Option(help="The folder of the report; OUT-report if not given.", metavar="FOLDER")
    ] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="No report, and no pass for its metrics.")] = False,
    memory: Memory = None,
    threads: Threads = None,
    solver: Annotated[str | None, typer.Option(help="Instead of the one in the model file.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="Stop when the gradient is this small.")] = None,
    max_iterations: Annotated[int | None, typer.Option(min=1, help="Stop after this many.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="Keep the state of the fit here.", metavar="FILE")] = None,
    checkpoint_every: Annotated[float, typer.Option(min=0, help="Seconds between two saves.")] = 30.0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the checkpoint, OUT.checkpoint if not given.")
    ] = False,
    progress: Annotated[
        bool | None, typer.Option("--progress/--no-progress", help="A line on stderr; on a terminal if not given.")
    ] = None,
    force: Force = False,
) -> None:
    """Train the parameters and save them. With a report: a table, plots, and everything as JSON."""
    from lazyml import models
    from lazyml.models.fitted import check_output
    from lazyml.models.reporting import check_report

    definition = models.load_definition(model)
    check_output(out, force, inputs(model, definition))
    folder = None if no_report else report or out.with_name(f"{out.stem}-report")
    if folder is not None:
        check_report(folder, force)
    if resume and checkpoint is None:
        checkpoint = out.with_name(f"{out.name}.checkpoint")
    if checkpoint is not None:
        check_output(checkpoint, True, inputs(model, definition))
        if checkpoint.resolve() == out.resolve():
            raise ParameterError("the checkpoint and the fitted model are one file", found=str(out),
                                 fix="name another file for --checkpoint")  # fmt: skip
    run = _run(checkpoint, checkpoint_every, resume, force, progress)
    given = {"solver": solver, "tolerance": tolerance, "max_iterations": max_iterations}
    overrides = {name: value for name, value in given.items() if value is not None}
    resources: dict[str, Any] = {"memory": memory, "threads": threads}
    every = None if checkpoint_every == 30.0 else checkpoint_every
    flags = {"--no-report": no_report, "--force": force, "--progress": progress, "--no-progress": progress is False}
    command = ["fit", model, "--out", out,
               *_options({**given, **resources, "report": report, "checkpoint_every": every}),
               *(flag for flag, is_set in flags.items() if is_set)]  # fmt: skip
    with _saying_how_to_resume(checkpoint, command), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        training = models.train(definition, solver=overrides, **run, **resources)
    for warning in {str(entry.message): None for entry in caught if issubclass(entry.category, UserWarning)}:
        print(f"warning: {warning}", file=sys.stderr)
    training.fitted.save(out, force)
    _tell(training, model, out, folder, checkpoint, resources)


def _tell(
    training: Training, model: Path, out: Path, folder: Path | None, checkpoint: Path | None, resources: dict[str, Any]
) -> None:
    """Print what was found, and write the report."""
    from lazyml.models import reporting
    from lazyml.models.tables import print_facts

    tables = [] if training.selection is None else [reporting.scores_of(training)]
    tables += [] if training.estimator is None else [reporting.coefficients_of(training.estimator)]
    facts, note = reporting.facts_of(training), None
    saved = [("saved", str(out)), *([("checkpoint", str(checkpoint))] if checkpoint else [])]
    failed = None
    if folder is not None:
        try:
            whole = reporting.report_of(training, f"{model.name}: trained", tables, **resources)
            note = reporting.write_report(whole, folder)
            tables, saved = list(whole.tables), [*saved, ("report", str(folder / reporting.REPORT))]
        except LazymlError as error:  # of a metric, say: after the fit, which is saved and is to be seen
            failed = error
    for table in tables:
        _print(table)
    print_facts(f"{model}: trained", [*facts, *saved])
    if note:
        print(note, file=sys.stderr)
    if failed is not None:
        raise failed


def _print(table: TableOf) -> None:
    from lazyml.models.tables import print_table

    rows, left = table.rows[:SHOWN], len(table.rows) - SHOWN
    print_table(table.title, table.header, rows)
    if left > 0:
        print(f"... and {left} more")
    print()


def _run(checkpoint: Path | None, every: float, resume: bool, force: bool, progress: bool | None) -> dict[str, Any]:
    """What `lz.minimize` is told of the run."""
    from lazyml.solvers.checkpoint import is_checkpoint

    run: dict[str, Any] = {} if progress is None else {"progress": progress}
    if checkpoint is None:
        return run
    if checkpoint.exists() and not resume:
        if not force:
            raise OutputExistsError("the checkpoint exists already", found=str(checkpoint),
                                    fix="add --resume to go on from it, or --force to start afresh")  # fmt: skip
        if not is_checkpoint(checkpoint):
            raise OutputExistsError("the file is no checkpoint, and is left as it is", found=str(checkpoint),
                                    fix="name another file")  # fmt: skip
        checkpoint.unlink()
    if resume and not checkpoint.exists():
        print(f"there is no checkpoint {checkpoint}: starting afresh", file=sys.stderr)
    return {**run, "checkpoint": checkpoint, "checkpoint_every": every}


@contextmanager
def _saying_how_to_resume(checkpoint: Path | None, command: list[Any]) -> Iterator[None]:
    """After Ctrl-C, say where the state is and what goes on from it."""
    try:
        yield
    except KeyboardInterrupt:
        if checkpoint is None or not checkpoint.exists():
            raise
        again = shlex.join(map(str, ["lazyml", *command, "--checkpoint", checkpoint, "--resume"]))
        print(f"interrupted; the fit is saved in {checkpoint}, and goes on with\n  {again}", file=sys.stderr)
        raise typer.Exit(130) from None


def _options(given: dict[str, Any]) -> list[str]:
    """Options as they were given."""
    chosen = {f"--{name}".replace("_", "-"): value for name, value in given.items() if value is not None}
    return [text for option in chosen.items() for text in option]
