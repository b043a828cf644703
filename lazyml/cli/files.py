"""Commands on files and on this machine: demo, inspect, repack, tune, schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lazyml.cli.options import Force, Threads
from lazyml.errors import ParameterError


def demo(
    out: Annotated[Path, typer.Option(help="The folder for everything it writes.")] = Path("lazyml-demo"),
    memory: Annotated[str, typer.Option(help="The budget for every run.")] = "64 MiB",
    threads: Threads = None,
    rows: Annotated[int | None, typer.Option(min=1000, hidden=True)] = None,
) -> None:
    """Train on real flights. Data, plan, training, scores on held-out days, and plots, in one folder."""
    from lazyml.demo import run

    run(out, memory=memory, threads=threads, rows=rows)


def inspect(file: Annotated[Path, typer.Argument(help="An HDF5 file.", metavar="FILE")]) -> None:
    """List the datasets of a file. Shape, type, layout, and how they would be read."""
    import lazyml as lz

    print(lz.inspect(file))


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


def schema() -> None:
    """Print the JSON schema of model files. Editors check and complete with it."""
    import json

    from lazyml import models

    print(json.dumps(models.schema(), indent=1))
