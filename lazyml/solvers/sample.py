"""A sample of the rows, in memory: slices spread over the data, chosen by its row count and a seed and nothing else.

On m of n rows the minimum is off by about ``sqrt(d / m)`` standard errors of the data, and the Hessian by a share
``sqrt(d / m)``. To start there, and to take steps in the metric of that Hessian, brings each pass over all rows that
factor nearer, however the columns are mixed and scaled.

Source: Byrd, Chin, Neveitt and Nocedal, On the use of stochastic Hessian information in optimization methods for
machine learning, SIAM J. Optim. 21 (2011) 977.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from lazyml.array import Array
from lazyml.config import memory_budget
from lazyml.errors import BudgetError
from lazyml.expr import build as b
from lazyml.expr.row_ranges import slice_rows
from lazyml.expr.substitute import substitute
from lazyml.functions import compile, from_array
from lazyml.plan.plan import row_bytes
from lazyml.planned import source_of
from lazyml.solvers.objective import Sample
from lazyml.solvers.programs import Programs
from lazyml.solvers.structure import row_leaves

SHARE = 100  # one row in so many
LEAST, MOST = 20_000, 200_000  # rows, or 100 and 200 a parameter where that is more
WORTH = 5  # a sample of more than one row in so many is no sample
MEMORY_SHARE = 4  # of the budget
# Each is read by itself, in half a millisecond. Rows that lie side by side are often alike, as flights of one day: of
# the same 20,000 rows of the flights in the demo, in order of time, 16 runs leave six times the gap that 256 do.
# A quadratic loss only begins at the sample's minimum, and takes the fewest.
# Of data in chunks, a run reads one or two of them whole: beyond the fewest, one chunk in so many is read at most.
SLICES, FEWEST, CHUNKS = 64, 16, 64


def rows_to_draw(programs: Programs) -> tuple[int, str]:
    """How many rows a sample would have, and if that is none, why."""
    leaves, size = row_leaves(programs.loss), programs.size
    if not leaves:
        return 0, "it reads no data"
    counts = {int(node.shape[0]) for node in leaves}
    if len(counts) != 1:
        return 0, "the data have different numbers of rows"
    if not programs.structure.separates:
        return 0, programs.structure.why
    (rows,) = counts
    wanted = min(max(rows // SHARE, LEAST, 100 * size), max(MOST, 200 * size))
    width = sum(row_bytes(node) for node in leaves)
    fits = memory_budget(programs.resources.get("memory")) // MEMORY_SHARE // max(width, 1)
    if wanted > rows // WORTH:
        return 0, f"{rows:,} rows are too few to sample"
    if fits < 20 * size:
        return 0, "the memory allowed does not hold a sample"
    return min(wanted, fits), ""


def sampler(programs: Programs) -> Callable[[int], Sample | None]:
    """What an objective is given to draw from."""

    def sample(seed: int) -> Sample | None:
        count, _ = rows_to_draw(programs)
        try:
            return draw(programs, count, seed) if count else None
        except BudgetError:  # more beside the rows than was thought
            return None

    return sample


def draw(programs: Programs, count: int, seed: int) -> Sample:
    """About ``count`` rows of all sources, and the loss on them, scaled to estimate the loss on all rows."""
    began = time.perf_counter()
    leaves = row_leaves(programs.loss)
    rows = int(leaves[0].shape[0])
    chunk = max(source_of(leaf).preferred_rows if leaf.op == "source" else 1 for leaf in leaves)
    quadratic = bool(programs.structure.margins) and programs.curvature.quadratic
    pieces = slices(rows, count, seed, chunk, FEWEST if quadratic else SLICES)
    # Each piece is a formula of its own: the memory of results that a plan states is that of all their rows.
    ranges = [[Array(slice_rows(leaf, p.start, p.stop - p.start)) for p in pieces] for leaf in leaves]
    reader: Any = compile(ranges, backend="numpy", pin=False, **programs.resources)
    held = [np.concatenate(parts) for parts in reader()]
    drawn = len(held[0])
    small = {leaf: from_array(values).node for leaf, values in zip(leaves, held, strict=True)}
    (loss,) = substitute([programs.structure.scaled(b.const(rows / drawn))], small)
    left = memory_budget(programs.resources.get("memory")) - sum(values.nbytes for values in held)
    inner = Programs(loss, programs.parameters, threads=programs.resources.get("threads"), memory=left)
    inner.given = programs.given
    return Sample(inner.objective(), drawn, drawn / rows, reader.last_run.bytes_read, time.perf_counter() - began)


def slices(rows: int, count: int, seed: int, chunk: int = 1, most: int = SLICES) -> Sequence[slice]:
    """``count`` of the rows: one run at random in each of equal parts of the data, so that sorted data are met evenly.
    Fewer of them where the rows are stored in long chunks.

    >>> [(piece.start // 100, piece.stop - piece.start) for piece in slices(6400, 96, seed=0)][:3]
    [(0, 1), (1, 2), (2, 1)]
    """
    parts = min(max(rows // chunk // CHUNKS, FEWEST), most, count)
    random = np.random.default_rng((seed, rows))
    found = []
    for k in range(parts):
        low, high = rows * k // parts, rows * (k + 1) // parts
        long = count * (k + 1) // parts - count * k // parts
        start = int(random.integers(low, max(high - long, low) + 1))
        found.append(slice(start, min(start + long, rows)))
    return found
