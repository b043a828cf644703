"""What the kernels cost on data in the cache, on one thread: nanoseconds an element, and rates of products of a block.

    python -m benchmarks.kernels --json
    python -m benchmarks.kernels --functions erf power --no-products

The first table has each elementary function on 2,048 numbers, beside NumPy's or SciPy's function on the same array and
a loop of Numba's own, which calls the C library. The second has the products of a block of rows, in GB/s of the block
and in GFLOP/s, beside a plain sum of the block. A figure is the best of the repeats, which no other work on the machine
disturbed; those that are compared run in turn.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numba
import numpy as np
import scipy.special
from threadpoolctl import threadpool_limits

from benchmarks.harness import Contestant, Report, Timing, interleave
from lazyml_kernels import dense, error_function, gram, indexed, jit, narrow, powers, scalar, widths

ELEMENTS, BLOCK_BYTES, SEGMENTS, BINS = 2048, 1 << 17, 100, 32
RUN_SECONDS = 2e-3
"""A run of a contestant repeats its work for so long."""

APART = 64
"""Units in the last place between ours and the peer: SciPy's erfc loses some 30 of them towards x = 6."""

DTYPES = {"float64": np.float64, "float32": np.float32}


@dataclass(frozen=True)
class Function:
    """One elementary function: ours, NumPy's or SciPy's, and how Numba writes it; `low` to `high` are the arguments."""

    name: str
    ours: Callable[..., Any]
    peer: Callable[..., Any]
    numba: Callable[..., Any]
    low: float = -6.0
    high: float = 6.0
    places: int = 1


FUNCTIONS = (
    Function("exp", scalar.exp, np.exp, lambda x: math.exp(x)),
    Function("expm1", scalar.expm1, np.expm1, lambda x: math.expm1(x)),
    Function("log", scalar.log, np.log, lambda x: math.log(x), 0.01, 100.0),
    Function("log1p", scalar.log1p, np.log1p, lambda x: math.log1p(x), -0.9, 9.0),
    Function("sigmoid", scalar.sigmoid, scipy.special.expit, lambda x: 1 / (1 + math.exp(-x))),
    Function("softplus", scalar.softplus, lambda x, out: np.logaddexp(x.dtype.type(0), x, out=out),
             lambda x: math.log1p(math.exp(-abs(x))) + max(x, 0)),
    Function("tanh", scalar.tanh, np.tanh, lambda x: math.tanh(x)),
    Function("erf", error_function.erf, scipy.special.erf, lambda x: math.erf(x), -3.0, 3.0),
    Function("erfc", error_function.erfc, scipy.special.erfc, lambda x: math.erfc(x), -3.0, 6.0),
    Function("power", powers.power, np.power, lambda x, y: x**y, 0.01, 10.0, 2),
    Function("exp2", powers.exp2, np.exp2, lambda x: np.exp2(x)),
    Function("log2", powers.log2, np.log2, lambda x: np.log2(x), 0.01, 100.0),
    Function("log10", powers.log10, np.log10, lambda x: np.log10(x), 0.01, 100.0),
)  # fmt: skip


@dataclass
class KernelReport(Report):
    """A report whose tables are those of kernels. Keys of `timings` are a row and a column; all are for one element."""

    rates: dict[str, dict[str, float]] = field(default_factory=dict)
    """By product: GB/s, GFLOP/s, and how many times the time of a plain sum of the block."""

    def nanoseconds(self) -> dict[str, dict[str, float]]:
        """By function and contestant."""
        found: dict[str, dict[str, float]] = {}
        for key, timing in self.timings.items():
            row, _, column = key.partition(": ")
            found.setdefault(row, {})[column] = timing.best * 1e9
        return {row: cells for row, cells in found.items() if "lazyml" in cells}

    def as_json(self) -> dict[str, Any]:
        return {**super().as_json(), "nanoseconds": self.nanoseconds(), "rates": self.rates}

    def _table(self) -> list[str]:
        lines = [f"{'ns an element':20} {'lazyml':>8} {'NumPy':>8} {'Numba':>8} {'x NumPy':>8} {'x Numba':>8}"]
        for row, cells in self.nanoseconds().items():
            ours, peer, own = (cells[column] for column in ("lazyml", "NumPy", "Numba"))
            lines.append(f"{row:20} {ours:8.2f} {peer:8.2f} {own:8.2f} {peer / ours:8.1f} {own / ours:8.1f}")
        if self.rates:
            lines += ["", f"{'block in cache':40} {'GB/s':>8} {'GFLOP/s':>8} {'x sum':>8}"]
        for row, rate in self.rates.items():
            work = f"{rate['GFLOP/s']:8.1f}" if rate["GFLOP/s"] else f"{'':8}"
            lines.append(f"{row:40} {rate['GB/s']:8.1f} {work} {rate['x sum']:8.2f}")
        return lines


def repeated(kernel: Callable[..., Any], *arguments: Any) -> Callable[[int], Any]:
    """The kernel on these arguments as many times as asked for, in compiled code, so that calls cost nothing."""

    @numba.njit(nogil=True)
    def run(times: int, arguments: Any) -> None:
        for _ in range(times):
            kernel(*arguments)

    return lambda times: run(times, arguments)


def called(function: Callable[..., Any], *arguments: Any) -> Callable[[int], Any]:
    """The same for a function of NumPy: it is called each time."""

    def run(times: int) -> None:
        for _ in range(times):
            function(*arguments)

    return run


def measure(work: dict[str, Callable[[int], Any]], repeats: int) -> dict[str, Timing]:
    """Seconds of one execution of each, in turn; each runs as often as fills `RUN_SECONDS`."""
    times = {}
    for name, run in work.items():
        run(1)
        begin = time.perf_counter()
        run(3)
        times[name] = max(1, int(RUN_SECONDS / ((time.perf_counter() - begin) / 3)))
    contestants = [Contestant(name, lambda run=run, name=name: run(times[name])) for name, run in work.items()]
    timings = interleave(contestants, repeats)
    return {name: Timing(name, tuple(s / times[name] for s in timing.seconds)) for name, timing in timings.items()}


def over_array(function: Callable[..., Any], places: int) -> Any:
    """A kernel that applies a scalar function to each element."""
    if places == 1:

        @jit.kernel
        def one(x: Any, out: Any) -> None:
            for k in range(x.size):
                out[k] = function(x[k])

        return one

    @jit.kernel
    def two(x: Any, y: Any, out: Any) -> None:
        for k in range(x.size):
            out[k] = function(x[k], y[k])

    return two


def measure_function(report: KernelReport, function: Function, dtype: str, repeats: int) -> None:
    """Add a row of the first table, and check that ours gives what the peer gives."""
    rng = np.random.default_rng(1)
    real = DTYPES[dtype]
    x = rng.uniform(function.low, function.high, ELEMENTS).astype(real)
    operands = (x, rng.uniform(-3, 3, ELEMENTS).astype(real)) if function.places == 2 else (x,)
    out, right = np.empty_like(x), np.empty_like(x)
    ours = over_array(function.ours, function.places)
    own = over_array(numba.njit(function.numba), function.places)
    timings = measure({"lazyml": repeated(ours, *operands, out), "NumPy": called(function.peer, *operands, right),
                       "Numba": repeated(own, *operands, np.empty_like(x))}, repeats)  # fmt: skip
    row = f"{function.name} {dtype}"
    for name, timing in timings.items():
        report.timings[f"{row}: {name}"] = Timing(name, tuple(s / ELEMENTS for s in timing.seconds))
    away = float(np.max(abs(out - right) / np.spacing(abs(right))))
    report.check(f"{row}: units apart", away, away <= APART, f"at most {APART}")


@jit.sum_kernel
def plain_sum(block: Any, out: Any) -> None:
    """The sum of all numbers of a block: what reading it costs."""
    flat = block.reshape(block.size)
    total = block.dtype.type(0)
    for k in range(flat.size):
        total += flat[k]
    out[0] = total


@jit.kernel
def histogram(block: Any, edges: Any, index: Any, counts: Any, faults: Any) -> None:
    """counts[b] += the numbers of a block between edges b and b + 1, as `histogram` of a formula is computed."""
    flat = block.reshape(block.size)
    for k in range(flat.size):
        index[k] = indexed.search_right(edges, flat[k]) - 1
    indexed.segment_count(index, 0, flat.size, counts, faults, 0)


Product = tuple[Callable[[int], Any], float]


def products(d: int, dtype: str) -> dict[str, Product]:
    """By name the kernels on a block of rows, with their operations; the first is the sum."""
    rng = np.random.default_rng(2)
    real = DTYPES[dtype]
    n = BLOCK_BYTES // (d * real(0).itemsize) // 4 * 4
    A, w, r = rng.uniform(0, 1, (n, d)).astype(real), np.ones(d, real), np.ones(n, real)
    segments, faults = rng.integers(0, SEGMENTS, n), np.zeros(1, np.int64)
    found: dict[str, Product] = {
        "sum": (repeated(plain_sum, A, np.zeros(1, real)), n * d),
        "row_dot, loops": (repeated(dense.row_dot, A, 0, n, w, r.copy()), 2 * n * d),
        "add_vector_product, loops": (repeated(dense.add_vector_product, A, 0, n, r, np.zeros(d, real)), 2 * n * d),
    }
    if vectors := widths.vectors_of(d, real(0).itemsize, widths.ROW_DOT_VECTORS):
        found["row_dot in vectors"] = repeated(narrow.ROW_DOTS[vectors], A, 0, n, w, r.copy()), 2 * n * d
    if vectors := widths.vectors_of(d, real(0).itemsize, widths.SUM_VECTORS):
        kernel = repeated(narrow.SUMS[vectors], A, 0, n, r, np.zeros(d, real))
        found["add_vector_product in vectors"] = kernel, 2 * n * d
    for k in (4, 16):
        W, B, out = np.ones((k, d), real), np.ones((n, k), real), np.empty((n, k), real)
        found[f"row_product k={k}"] = repeated(dense.row_product, A, 0, n, W, out), 2 * n * d * k
        sums = np.zeros((d, k), real)
        found[f"add_matrix_product k={k}"] = repeated(dense.add_matrix_product, A, 0, B, 0, n, sums), 2 * n * d * k
    total = np.zeros((d, d))
    if dtype == "float64":
        through_library = repeated(gram.blas_add_gram, A, 0, n, total)
    else:
        panel = np.empty((gram.panel_columns(d), d), real)
        through_library = repeated(gram.blas_add_gram_f4, A, 0, n, panel, total)
    found["gram through the library"] = through_library, n * d * (d + 1)
    grouped = A, 0, segments, 0, n, np.zeros((SEGMENTS, d)), faults, 0
    found[f"segment_sum, {SEGMENTS} segments, loops"] = repeated(indexed.segment_sum, *grouped), n * d
    if vectors := widths.vectors_of(d, 8, widths.SEGMENT_SUM_VECTORS):
        kernel = repeated(narrow.SEGMENT_SUMS[vectors], *grouped)
        found[f"segment_sum, {SEGMENTS} segments, in vectors"] = kernel, n * d
    edges, index = np.linspace(0, 1, BINS + 1).astype(real), np.empty(n * d, np.int64)
    counts = np.zeros(BINS + 1, np.int64)
    found[f"histogram, {BINS} bins"] = repeated(histogram, A, edges, index, counts, faults), 0
    return found


def measure_products(report: KernelReport, d: int, dtype: str, repeats: int) -> None:
    """Add the rows of the second table for one width and type."""
    work = products(d, dtype)
    timings = measure({name: run for name, (run, _) in work.items()}, repeats)
    elements = BLOCK_BYTES // (d * DTYPES[dtype](0).itemsize) // 4 * 4 * d
    for name, timing in timings.items():
        row = f"{name}, d={d} {dtype}"
        size = elements * DTYPES[dtype](0).itemsize
        report.timings[f"{row}: block"] = Timing(row, tuple(s / elements for s in timing.seconds))
        report.rates[row] = {"GB/s": size / timing.best / 1e9, "GFLOP/s": work[name][1] / timing.best / 1e9,
                             "x sum": timing.best / timings["sum"].best}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [function.name for function in FUNCTIONS]
    parser.add_argument("--functions", nargs="*", choices=names, default=names, help="only these functions")
    parser.add_argument("--columns", nargs="*", type=int, default=[28, 512], help="widths of the blocks")
    parser.add_argument("--no-products", action="store_true", help="the first table only")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print a JSON line after the tables")
    options = parser.parse_args(arguments)
    facts = {"elements": ELEMENTS, "block KiB": BLOCK_BYTES >> 10, "repeats": options.repeats, "page_cache": "not read"}
    report = KernelReport("kernels", facts)
    for dtype in DTYPES:
        for function in FUNCTIONS:
            if function.name in options.functions:
                measure_function(report, function, dtype, options.repeats)
    with threadpool_limits(1):  # the library's own threads, as in a run
        for d in [] if options.no_products else options.columns:
            for dtype in DTYPES:
                measure_products(report, d, dtype, options.repeats)
    return report.finish(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
