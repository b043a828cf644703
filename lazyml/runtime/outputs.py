"""Which dataset of which file each row-shaped result goes to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lazyml.errors import ParameterError
from lazyml.expr.node import Node
from lazyml.plan.plan import Plan
from lazyml.plan.storage import Written, chunk_rows
from lazyml.runtime.chunk_writer import ChunkWriter
from lazyml.runtime.output_file import OutputFiles
from lazyml.runtime.sinks import FileSink


class Place(NamedTuple):
    """A dataset of a file."""

    path: str
    name: str


def place_of(path: str | None, name: str) -> Place:
    """Where a result goes: a dataset of the file, or of its own when there is none for all.

    >>> place_of("scores.h5", "p"), place_of(None, "a/scores.h5:group/p")
    (Place(path='scores.h5', name='p'), Place(path='a/scores.h5', name='group/p'))
    """
    if path is not None:
        return Place(path, name)
    file, colon, dataset = name.rpartition(":")
    if not (colon and file and dataset):
        raise ParameterError("no file to store to", expected='a path, or names such as "scores.h5:p"', found=repr(name))
    return Place(file, dataset)


def open_sinks(
    files: OutputFiles, plan: Plan, places: Sequence[tuple[Node, Place]], written: Written, overwrite: bool
) -> dict[Node, FileSink]:
    """A sink for each result, which fills the datasets that it goes to.

    Raises OutputExistsError, SourceNotFoundError (no such folder), FormulaError (no such name).
    """
    writers: dict[Node, list[ChunkWriter]] = {node: [] for node, _ in places}
    tilings = {n: tiling for p, tiling in zip(plan.passes, plan.tilings, strict=True) for n in p.results}
    for node, place in places:
        shape, dtype = tuple(int(size) for size in node.shape), written.dtypes[node][len(writers[node])]
        height = chunk_rows(node, dtype, shape[0], tilings[node].page_rows)
        file = files.open(place.path, overwrite)
        writers[node].append(ChunkWriter(file, place.name, shape, dtype, height, written.storage))
    return {
        node: FileSink(node.shape, node.dtype, tilings[node].workers, tilings[node].page_rows, to)
        for node, to in writers.items()
    }
