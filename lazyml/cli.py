"""The command line: demo, inspect, repack, explain, fit, predict, evaluate, tune.

Commands import what they need when they run, so that `lazyml --help` answers at once. An error that a user's input can
cause is printed as text and ends with exit code 1; Ctrl-C ends with 130.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from lazyml.errors import FormulaError, LazymlError, ParameterError

if TYPE_CHECKING:
    from lazyml.models import DataReference, ModelDefinition


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

_BUDGET = 'The memory budget, such as "512 MiB"; a quarter of the machine if not given.'
Model = Annotated[Path, typer.Argument(help="A model file (TOML).", metavar="MODEL.toml")]
Fitted = Annotated[Path, typer.Option("--model", help="What `lazyml fit` wrote.", metavar="MODEL.safetensors")]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="Use another dataset for a name of [data]; repeat it.", metavar="NAME=FILE:DATASET"),
]
Memory = Annotated[str | None, typer.Option(help=_BUDGET)]
Threads = Annotated[int | None, typer.Option(min=1, help="Worker threads; all processors if not given.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]


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


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="The folder for everything it writes.")] = Path("lazyml-demo"),
    memory: Annotated[str, typer.Option(help="The budget for every run.")] = "64 MiB",
    threads: Threads = None,
    rows: Annotated[int | None, typer.Option(min=1000, hidden=True)] = None,
) -> None:
    """Train on real flights. Data, plan, training, scores on held-out days, and plots, in one folder."""
    from lazyml.demo import run

    run(out, memory=memory, threads=threads, rows=rows)


@app.command()
def inspect(file: Annotated[Path, typer.Argument(help="An HDF5 file.", metavar="FILE")]) -> None:
    """List the datasets of a file. Shape, type, layout, and how they would be read."""
    import lazyml as lz

    print(lz.inspect(file))


@app.command()
def repack(
    source: Annotated[Path, typer.Argument(help="An HDF5 file; it is not changed.", metavar="IN")],
    output: Annotated[Path, typer.Argument(help="The file to write.", metavar="OUT")],
    dataset: Annotated[
        list[str] | None, typer.Option(help="Copy only this one; repeat it. All if not given.", metavar="NAME")
    ] = None,
    chunk_rows: Annotated[int | None, typer.Option(min=1, help="Rows of a chunk; about 512 KiB if not given.")] = None,
    compression: Annotated[str, typer.Option(help="keep, gzip, zstd or none.")] = "keep",
    level: Annotated[int | None, typer.Option(help="0 to 9 for gzip, 1 to 22 for zstd.")] = None,
    shuffle: Annotated[
        bool | None, typer.Option("--shuffle/--no-shuffle", help="Before compressing; done if not given.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="For floating-point datasets, such as float32.")] = None,
    memory: Annotated[str | None, typer.Option(help="What it may hold; 256 MiB if not given.")] = None,
    threads: Threads = None,
    force: Force = False,
) -> None:
    """Copy a file so that it is fast to read. Chunks of whole rows, compared with the source before it appears."""
    import lazyml as lz
    from lazyml.models.fitted import check_output

    check_output(output, force, [source])
    print(lz.repack(source, output, dataset or (), chunk_rows=chunk_rows, compression=compression, level=level,
                    shuffle=shuffle, dtype=dtype, overwrite=force, memory=memory, threads=threads))  # fmt: skip


@app.command()
def explain(
    model: Model,
    memory: Memory = None,
    threads: Threads = None,
    data: Data = None,
    profile: Annotated[bool, typer.Option("--profile", help="Run two steps as well, and show what they took.")] = False,
) -> None:
    """Show the plan of a training step. Passes, bytes, memory, and why; nothing is read without --profile."""
    from lazyml.models import build, load_definition

    built = build(load_definition(model), _references(data))
    program = built.training_program(memory=memory, threads=threads)
    print(program.explain())
    if profile:
        print(f"\n{program.prepare().profile(repeats=2, **built.start)}")


@app.command()
def fit(
    model: Model,
    out: Annotated[Path, typer.Option(help="Where the fitted model goes.", metavar="MODEL.safetensors")],
    memory: Memory = None,
    threads: Threads = None,
    solver: Annotated[str | None, typer.Option(help="Instead of the one in the model file.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="Stop when the gradient is this small.")] = None,
    max_iterations: Annotated[int | None, typer.Option(min=1, help="Stop after this many.")] = None,
    force: Force = False,
) -> None:
    """Train the parameters and save them."""
    from lazyml import models
    from lazyml.models.fitted import check_output
    from lazyml.models.tables import print_facts

    definition = models.load_definition(model)
    check_output(out, force, _inputs(model, definition))
    given = {"solver": solver, "tolerance": tolerance, "max_iterations": max_iterations}
    overrides = {name: value for name, value in given.items() if value is not None}
    fitted, result = models.fit(definition, solver=overrides, memory=memory, threads=threads)
    fitted.save(out, force)
    facts = [
        ("loss", f"{result.value:.8g}"),
        ("gradient", f"{result.gradient_norm:.2e} at most"),
        ("iterations", str(result.n_iter)),
        ("passes", f"{result.passes:.4g}"),
        ("solver", result.reason),
        ("seconds", f"{result.history[-1].seconds:.2f}"),
        ("outcome", result.message),
        ("saved", str(out)),
    ]
    print_facts(f"{model}: trained", facts)


@app.command()
def predict(
    model: Model,
    fitted: Fitted,
    out: Annotated[str, typer.Option(help="The dataset to write.", metavar="FILE:DATASET")],
    formula: Annotated[str | None, typer.Option(help="Which one of [predict], if there are several.")] = None,
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
    definition = models.load_definition(model)
    check_output(target.path, force, [fitted, *_inputs(model, definition)])
    run = models.predict(
        definition, models.load_fitted(fitted), str(target.path), target.dataset,
        name=formula, data=_references(data), force=force, memory=memory, threads=threads,
    )  # fmt: skip
    facts = [
        ("written", out),
        ("passes", str(run.passes)),
        ("read", format_bytes(run.bytes_read)),
        ("seconds", f"{run.seconds:.2f}"),
    ]
    print_facts(f"{model}: predicted", facts)


@app.command()
def evaluate(model: Model, fitted: Fitted, data: Data = None, memory: Memory = None, threads: Threads = None) -> None:
    """Compute the loss and all metrics. They share the fewest passes."""
    from lazyml import models
    from lazyml.models.tables import print_table

    definition, trained = models.load_definition(model), models.load_fitted(fitted)
    values = models.evaluate(definition, trained, data=_references(data), memory=memory, threads=threads)
    print_table(f"{model}: evaluated", ["metric", "value"], [[name, f"{value:.8g}"] for name, value in values.items()])


@app.command()
def tune(
    show: Annotated[bool, typer.Option("--show", help="Print the sizes in force and where they come from.")] = False,
    reset: Annotated[bool, typer.Option("--reset", help="Remove what was measured.")] = False,
) -> None:
    """Measure which block sizes are fastest on this machine. Every later run uses them; it takes about a minute."""
    from lazyml import sizes, tuning
    from lazyml.models.tables import print_facts, print_table

    if show and reset:
        raise ParameterError("only one of --show and --reset")
    if reset:
        print(f"removed {sizes.tuned_file()}" if tuning.remove() else "there is nothing to remove")
    if not show and not reset:
        tuning.check_folder()
        tuning.keep(tuning.tune(lambda finding: print_table(finding.verdict, finding.header, finding.rows)))
    print_facts("in force", tuning.facts())


def _inputs(model: Path, definition: ModelDefinition) -> list[Path]:
    """The files that a command reads."""
    return [model, *(path for reference in definition.data.values() for path in reference.files)]


def _references(data: list[str] | None) -> dict[str, DataReference]:
    """NAME=FILE:DATASET options as references."""
    from lazyml.models import parse_reference

    references = {}
    for option in data or []:
        name, equals, text = option.partition("=")
        if not equals:
            raise FormulaError("--data needs a name", expected="NAME=FILE:DATASET", found=option)
        references[name] = parse_reference(text)
    return references


def main() -> None:
    """The entry point of the `lazyml` command."""
    app()


if __name__ == "__main__":
    main()
