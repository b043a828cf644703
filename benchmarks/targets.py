"""What the figures are to be, and where each is found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchmarks import (
    fit,
    gradient,
    in_memory,
    models,
    overhead,
    planning,
    rows,
    select,
    squares,
    staging_passes,
    startup,
)
from benchmarks.harness import seconds
from benchmarks.suite import Found

Results = Mapping[str, Found]
Value = Callable[[Results], float | None]


@dataclass(frozen=True)
class Target:
    """`value` finds the figure, None where it was not measured; `limit` is what it is to be at most, or `at_least`. Of
    `unit` "s" it is a time, else a ratio."""

    what: str
    value: Value
    limit: float
    at_least: bool = False
    unit: str = ""

    def is_met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def wanted(self) -> str:
        return f"at {'least' if self.at_least else 'most'} {self.shown(self.limit)}"

    def shown(self, value: float) -> str:
        return seconds(value) if self.unit == "s" else f"{value:.3g}"


def check(script: str, name: str, scale: float = 1.0) -> Value:
    """A number that a script found beside its times."""

    def value(results: Results) -> float | None:
        reports = results[script].reports if script in results else ()
        return next((report["checks"][name] * scale for report in reports if name in report["checks"]), None)

    return value


def of_shape(columns: int, dtype: str, name: str) -> Value:
    """A number that `in_memory` found for matrices of so many columns."""

    def value(results: Results) -> float | None:
        reports = results["in-memory"].reports if "in-memory" in results else ()
        mine = (report for report in reports if (report.get("columns"), report.get("dtype")) == (columns, dtype))
        return next((report["checks"].get(name) for report in mine), None)

    return value


def time_of(script: str, *names: str) -> Value:
    """The longest median of these."""

    def value(results: Results) -> float | None:
        reports = results[script].reports if script in results else ()
        found = [report["seconds"][name]["median"] for report in reports for name in names if name in report["seconds"]]
        return max(found, default=None)

    return value


def times_as_long(script: str, peer: str, ours: str) -> Value:
    """The median of a peer over that of ours."""

    def value(results: Results) -> float | None:
        theirs, mine = time_of(script, peer)(results), time_of(script, ours)(results)
        return theirs / mine if theirs and mine else None

    return value


def peak_over_stated(results: Results) -> float | None:
    measured, stated = (check("memory", f"{name}, bytes")(results) for name in ("peak above ready", "stated peak"))
    return measured / stated if measured and stated else None


SIZE = f"{planning.TARGET_NODES:,}"
PLANNED = [f"{shape} of {SIZE}: all" for shape in planning.SHAPES]

TARGETS = (
    Target("a call on 10 rows in memory", time_of("overhead", f"{overhead.TINY} rows"),
           overhead.CALL_TARGET * 1e-6, unit="s"),
    Target("Python for each page in memory", check("overhead", "Python a page, in memory, us", 1e-6),
           overhead.PAGE_TARGET * 1e-6, unit="s"),
    Target("Python for each page of a file", check("overhead", "Python a page, file, us", 1e-6),
           overhead.PAGE_TARGET * 1e-6, unit="s"),
    Target("minibatches, as a share of the rate of a plain read by one thread",
           check("overhead", "minibatch: share of the read's rate"), overhead.MINIBATCH_TARGET, at_least=True),
    *(Target(f"in memory, {columns} columns of {dtype}, as a share of the rate of a plain read",
             of_shape(columns, dtype, "share of the ceiling"), in_memory.share_target(columns, dtype), at_least=True)
      for dtype in ("float32", "float64") for _, columns in in_memory.SHAPES),
    *(Target(f"in memory, {columns} columns of {dtype}, times NumPy's speed",
             of_shape(columns, dtype, "times NumPy"), in_memory.NUMPY_TARGETS[columns], at_least=True)
      for dtype in ("float32", "float64") for _, columns in in_memory.SHAPES),
    *(Target(f"a file in the page cache, times the speed of {peer}", times_as_long("file", peer, "lazyml float32"),
             limit, at_least=True) for peer, limit in gradient.PEER_TARGETS.items()),
    Target("rows that are pinned, times the speed of NumPy over h5py",
           times_as_long("file", "NumPy over h5py", "lazyml float32 pinned"), gradient.PINNED_TARGET, at_least=True),
    *(Target(f"16 logistic models at once over one, {columns} columns",
             check("models", f"16 models over one, {columns} columns"), limit)
      for columns, limit in models.MODELS_TARGETS.items()),
    *(Target(f"Gram matrix X'(h * X), 512 columns of {dtype}, as a share of the rate of BLAS syrk on a tile",
             check("models", f"Gram, 512 columns of {dtype}: share of syrk"), models.GRAM_SHARE_TARGET, at_least=True)
      for dtype in ("float32", "float64")),
    *(Target(f"Gram matrix X'(h * X), 28 columns of {dtype}, times NumPy's speed",
             check("models", f"Gram, 28 columns of {dtype}: times NumPy"), models.GRAM_TIMES_TARGET, at_least=True)
      for dtype in ("float32", "float64")),
    Target("k-means, an iteration, times scikit-learn's speed", check("models", "k-means: times scikit-learn"),
           models.KMEANS_TARGET, at_least=True),
    Target("histograms of all features, times LightGBM's speed", check("models", "histograms: times LightGBM"),
           models.HISTOGRAM_TARGET, at_least=True),
    Target("a pass over a file that is not in the page cache, over the time of the fastest plain read",
           check("cold", "cold ratio to raw reads"), gradient.COLD_TARGET),
    *(Target(f"{what}, file in the page cache, as a share of the rate of a plain read",
             check("passes", f"share of the fastest read: {what}"), staging_passes.WARM_TARGET, at_least=True)
      for what in ("staging alone", "a pass")),
    *(Target(f"a logistic fit to 1e-6 of its minimum, times the speed of {peer}",
             times_as_long("fit", peer, "lazyml auto"), limit, at_least=True) for peer, limit in fit.TARGETS.items()),
    *(Target(f"the same with columns mixed to a condition number of 100, times the speed of {peer}",
             times_as_long("fit-mixed", peer, "lazyml auto"), limit, at_least=True)
      for peer, limit in fit.MIXED_TARGETS.items()),
    *(Target(f"{name}, times the speed of scikit-learn in memory",
             times_as_long("squares", f"scikit-learn {name}, in memory", f"lazyml {name}"), squares.TARGET,
             at_least=True) for name in squares.MODELS),
    Target("16 penalties x 3 folds over one fit", times_as_long("select", select.ALL, select.ONE), select.ONE_TARGET),
    Target("16 penalties x 3 folds, times the speed of scikit-learn's LogisticRegressionCV in memory",
           times_as_long("select", select.PEER, select.ALL), select.PEER_TARGET, at_least=True),
    Target("measured peak of memory over the stated one", peak_over_stated, 1.0),
    *(Target(f"{what} of the largest file over that of {rows.BASE:,} rows", check("rows", f"growth of {name}"),
             rows.GROWTH_TARGET) for what, name in (("time of a row", "time"), ("peak of memory", "memory"))),
    *(Target(what, time_of("startup", what), limit, unit="s") for what, limit in startup.TARGETS.items()),
    Target(f"to build, differentiate and plan {SIZE} operations", time_of("planning", *PLANNED),
           planning.TARGET_SECONDS, unit="s"),
    Target(f"to compile a loop of {planning.COMPILED} operations",
           time_of("planning", f"compile {planning.COMPILED:,}"), planning.COMPILE_SECONDS, unit="s"),
)  # fmt: skip
