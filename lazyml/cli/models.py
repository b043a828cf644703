"""Commands on models that leave them as they are: explain, predict, evaluate, compare."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lazyml.cli.options import Data, Either, Fitted, Force, Memory, Model, Threads, inputs, model_and_fit, references

if TYPE_CHECKING:
    from lazyml.models.comparing import Comparison


def explain(
    model: Model,
    memory: Memory = None,
    threads: Threads = None,
    data: Data = None,
    profile: Annotated[bool, typer.Option("--profile", help="Run two steps as well, and show what they took.")] = False,
) -> None:
    """Show the plan of a training step. Passes, bytes, memory, and why; nothing is read without --profile."""
    from lazyml import models

    resources = {"memory": memory, "threads": threads}
    program, start = models.training_program(models.load_definition(model), references(data), **resources)
    print(program.explain())
    if profile:
        print(f"\n{program.prepare().profile(repeats=2, **start)}")


def predict(
    model: Either,
    out: Annotated[str, typer.Option(help="The dataset to write.", metavar="FILE:DATASET")],
    formula: Annotated[str | None, typer.Option(help="Which one of [predict], if there are several.")] = None,
    fitted: Fitted = None,
    data: Data = None,
    memory: Memory = None,
    threads: Threads = None,
    force: Force = False,
) -> None:
    """Write a prediction for every row. It goes to a dataset of a new HDF5 file."""
    from lazyml import models
    from lazyml.config import format_bytes
    from lazyml.models.fitted import check_output
    from lazyml.models.tables import print_facts

    target = models.parse_reference(out)
    check_output(target.path, force, [path for path in (model, fitted) if path is not None])
    definition, trained = model_and_fit(model, fitted)
    check_output(target.path, force, inputs(model, definition))
    run = models.predict(
        definition, trained, str(target.path), target.dataset,
        name=formula, data=references(data), force=force, memory=memory, threads=threads,
    )  # fmt: skip
    facts = [
        ("written", out),
        ("passes", str(run.passes)),
        ("read", format_bytes(run.bytes_read)),
        ("seconds", f"{run.seconds:.2f}"),
    ]
    print_facts(f"{model}: predicted", facts)


def evaluate(
    model: Either, fitted: Fitted = None, data: Data = None, memory: Memory = None, threads: Threads = None
) -> None:
    """Compute the loss and all metrics. They share the fewest passes."""
    from lazyml import models
    from lazyml.models.tables import print_table

    definition, trained = model_and_fit(model, fitted)
    values = models.evaluate(definition, trained, data=references(data), memory=memory, threads=threads)
    print_table(f"{model}: evaluated", ["metric", "value"], [[name, f"{value:.8g}"] for name, value in values.items()])


def compare(
    fitted: Annotated[list[Path], typer.Argument(help="Fitted models.", metavar="MODEL.safetensors ...")],
    data: Data = None,
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    memory: Memory = None,
    threads: Threads = None,
) -> None:
    """Compare fitted models on the same rows. Metrics and paired differences, all in shared passes."""
    from lazyml import models
    from lazyml.models.fitting import strict_json
    from lazyml.models.tables import print_table

    stems = [path.stem for path in fitted]
    names = stems if len(set(stems)) == len(stems) else [str(path) for path in fitted]
    loaded = {name: models.load_fitted(path) for name, path in zip(names, fitted, strict=True)}
    found = models.compare(loaded, data=references(data), memory=memory, threads=threads)
    if json:
        print(strict_json(found.as_dict()))
        return
    for title, header, rows in _compared(found):
        print_table(title, header, rows)
        print()


def _compared(found: Comparison) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """The tables of a comparison."""
    names = list(found.models)
    metrics = dict.fromkeys(metric for of in found.metrics.values() for metric in of)
    rows = [[m, *(f"{of[m]:.8g}" if m in of else "-" for of in found.metrics.values())] for m in metrics]
    yield f"{found.rows:,} rows, {found.passes} pass{'es' * (found.passes != 1)}", ["metric", *names], rows
    for name, of in found.differences.items():
        rows = [
            [m, f"{d.difference:+.4g}", "-" if d.standard_error is None else f"{d.standard_error:.2g}"]
            for m, d in of.items()
        ]
        yield f"{name} less {names[0]}", ["metric", "difference", "standard error"], rows
    about = [[key, *(_short(of[key]) for of in found.models.values())] for key in next(iter(found.models.values()))]
    settings = [[key, *(_short(value) for value in of.values())] for key, of in found.settings.items()]
    yield "what differs", ["", *names], [*about, *settings]


def _short(value: Any) -> str:
    text = "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 3]}..."


_WIDEST = 48
