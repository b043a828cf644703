"""Passes that models are trained by: k-means, several logistic models at once, Gram matrices, histograms of trees.

    python -m benchmarks.models --json
    python -m benchmarks.models --share 0.1 --only k-means histograms

On arrays in memory, each beside the library that a user would pick, or the one product that can not be done without:

- k-means: assignment and update of 16 centres in 28 dimensions, against an iteration of scikit-learn's Lloyd: the
  difference of fits of 11 iterations and of one, which leaves out its checks, its centring and its last assignment.
- models: loss and gradient of 1, 4, 8 and 16 logistic models, whose parameters are columns.
- Gram: X' (h * X); of 512 columns against BLAS syrk on a tile of rows in the cache, on one thread, and of 28 columns
  against NumPy's X.T @ (h[:, None] * X).
- histograms: sums of gradient and curvature by feature and bin, hist[feature, bin] += (g, h), of 8-bit codes, against
  LightGBM on the same bins. What its histograms take is the difference between trees of one split on 28 features and
  on 4, times 28 / 24: gradients, the split of the rows and scores are the same for both. The faster of its ways counts.

Exits with 1 when a result differs from that of the other.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import lazyml as lz
from benchmarks.gradient import TOLERANCE
from benchmarks.harness import SETTLED, Contestant, Report, Timing, interleave, processors
from benchmarks.in_memory import arrays

KMEANS_TARGET, GRAM_SHARE_TARGET, GRAM_TIMES_TARGET, HISTOGRAM_TARGET = 2.0, 0.8, 2.0, 1.0
MODELS_TARGETS = {28: 3.0, 512: 2.0}
OURS = "lazyml"
SEED = 6

CENTRES, KMEANS_ROWS, KMEANS_COLUMNS = 16, 2_000_000, 28
MORE, MORE_TREES = 10, 40
"""Iterations, and trees, that the longer of two trainings has more."""
MODELS, MODEL_ROWS = (1, 4, 8, 16), {28: 10_000_000, 512: 500_000}
GRAM_ROWS = {28: 2_000_000, 512: 100_000}
GRAM_TILE = 1024
HISTOGRAM_ROWS, FEATURES, FEW_FEATURES, BINS = 1_000_000, 28, 4, 255


@dataclass(frozen=True)
class Effort:
    """The share of the rows, threads of all contestants, and repeats."""

    share: float
    threads: int
    repeats: int

    def rows(self, whole: int) -> int:
        return max(CENTRES * 100, round(whole * self.share))

    def report(self, section: str, rows: int, columns: int, dtype: str, threads: int | None = None) -> Report:
        facts = {"section": section, "rows": rows, "columns": columns, "dtype": dtype,
                 "threads": threads or self.threads, "repeats": self.repeats}  # fmt: skip
        return Report("models", facts, ours=(OURS,))

    def times(self, runs: dict[str, Callable[[], Any]]) -> dict[str, Timing]:
        contestants = [Contestant(name, run) for name, run in runs.items()]
        return interleave(contestants, self.repeats, rest=SETTLED)


def relative(found: Any, expected: Any) -> float:
    """The largest difference over the largest number."""
    return float(np.abs(np.asarray(found, float) - expected).max() / np.abs(expected).max())


def agree(report: Report, name: str, found: Any, expected: Any, allowed: float) -> None:
    error = relative(found, expected)
    report.check(f"{name}: relative error", error, error < allowed, f"below {allowed}")


def difference(name: str, more: Timing, less: Timing, scale: float) -> Timing:
    """Of two timings of the same turns."""
    pairs = zip(more.seconds, less.seconds, strict=True)
    return Timing(name, tuple((longer - shorter) * scale for longer, shorter in pairs))


# --- k-means --------------------------------------------------------------------------------------------------------


def kmeans(effort: Effort) -> list[Report]:
    rows = effort.rows(KMEANS_ROWS)
    X = np.random.default_rng(SEED).standard_normal((rows, KMEANS_COLUMNS), np.float32)
    start = X[:CENTRES].copy()
    report = effort.report("k-means", rows, KMEANS_COLUMNS, "float32")
    A, C = lz.from_array(X), lz.param("C", start.shape, "float32")
    away = lz.sum(C * C, axis=1) - 2 * (A @ C.T)
    nearest = lz.argmin(away, axis=1)
    program = lz.compile([lz.segment_sum(A, nearest, CENTRES), lz.bincount(nearest, minlength=CENTRES)],
                         threads=effort.threads, backend="numba").prepare()  # fmt: skip
    runs: dict[str, Callable[[], Any]] = {OURS: lambda: program(C=start)}
    fit = lloyd(X, start, report.notes)
    if fit is not None:
        totals, counts = program(C=start)
        agree(report, "k-means: centres", totals / counts[:, None], fit(1), TOLERANCE["float32"])
        runs |= {"one": partial(fit, 1), "more": partial(fit, 1 + MORE)}
    found = effort.times(runs)
    report.timings[OURS] = found[OURS]
    if fit is not None:
        peer = "scikit-learn, an iteration"
        report.timings[peer] = difference(peer, found["more"], found["one"], 1 / MORE)
        report.checks["k-means: times scikit-learn"] = report.timings[peer].median / found[OURS].median
    return [report]


def lloyd(X: Any, start: Any, notes: list[str]) -> Callable[[int], Any] | None:
    """scikit-learn's fit of so many iterations, which gives the centres."""
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        notes.append("scikit-learn is not installed and was left out: pip install 'lazyml[bench]'")
        return None

    def fit(iterations: int) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged
            made = KMeans(CENTRES, init=start, n_init=1, max_iter=iterations, tol=0, algorithm="lloyd").fit(X)
        assert made.n_iter_ == iterations, "it converged, and so iterations are missing from the difference"
        return made.cluster_centers_

    return fit


# --- several models -------------------------------------------------------------------------------------------------


def models(effort: Effort) -> list[Report]:
    return [several(effort, effort.rows(rows), columns) for columns, rows in MODEL_ROWS.items()]


def several(effort: Effort, rows: int, columns: int) -> Report:
    report = effort.report("models", rows, columns, "float32")
    _, X, y = arrays(rows, columns, "float32")
    rng = np.random.default_rng(SEED)
    W, b = rng.normal(0, columns**-0.5, (columns, max(MODELS))).astype("f4"), rng.normal(size=max(MODELS)).astype("f4")
    runs: dict[str, Callable[[], Any]] = {}
    for count in MODELS:
        program = logistic(X, y, count, effort.threads)
        at = {"W": W[:, 0], "b": b[0]} if count == 1 else {"W": W[:, :count], "b": b[:count]}
        runs[f"{count} model{'s' * (count > 1)}"] = partial(program, **at)
    _, alone, _ = runs["1 model"]()
    for name in list(runs)[1:]:
        agree(report, f"{name}, {columns} columns: the first model's gradient", runs[name]()[1][:, 0], alone, 1e-4)
    report.ours = ("1 model",)
    report.timings = effort.times(runs)
    for name, timing in list(report.timings.items())[1:]:
        report.checks[f"{name} over one, {columns} columns"] = timing.median / report.timings["1 model"].median
    return report


def logistic(X: Any, y: Any, count: int, threads: int) -> Any:
    """Loss and gradients of so many models, which share the reading of X."""
    A, t = lz.from_array(X), lz.from_array(y)
    shapes = ((X.shape[1],), ()) if count == 1 else ((X.shape[1], count), (count,))
    W, b = (lz.param(name, shape, X.dtype.name) for name, shape in zip("Wb", shapes, strict=True))
    z = A @ W + b
    loss = lz.sum(lz.mean(lz.softplus(z) - (t if count == 1 else t[:, None]) * z, axis=0))
    return lz.compile([loss, *lz.grad(loss, [W, b])], threads=threads, backend="numba").prepare()


# --- Gram matrices --------------------------------------------------------------------------------------------------


def gram(effort: Effort) -> list[Report]:
    return [*(gram_of(effort, 512, dtype, against_syrk) for dtype in ("float32", "float64")),
            *(gram_of(effort, 28, dtype, against_numpy) for dtype in ("float32", "float64"))]  # fmt: skip


def gram_of(effort: Effort, columns: int, dtype: str, against: Callable[..., dict[str, Callable[[], Any]]]) -> Report:
    rows = effort.rows(GRAM_ROWS[columns])
    threads = 1 if against is against_syrk else effort.threads
    report = effort.report("Gram", rows, columns, dtype, threads)
    rng = np.random.default_rng(SEED)
    X, h = rng.standard_normal((rows, columns), np.float32).astype(dtype), rng.random(rows).astype(dtype)
    A, s = lz.from_array(X), lz.param("s", dtype=dtype)
    weights = s * lz.from_array(h)
    made = lz.compile(A.T @ (weights[:, None] * A), threads=threads, backend="numba").prepare()
    with threadpool_limits(threads, user_api="blas"):
        few = slice(0, 20_000)
        expected = X[few].astype(float).T @ (h[few, None] * X[few].astype(float))
        agree(report, f"Gram, {columns} columns of {dtype}", made(s=1.0, rows=few), expected, TOLERANCE[dtype])
        runs: dict[str, Callable[[], Any]] = {OURS: lambda: made(s=1.0), **against(X, h)}
        report.timings = effort.times(runs)
    (peer,) = set(runs) - {OURS}
    ratio = report.timings[peer].median / report.timings[OURS].median
    what = "share of syrk" if against is against_syrk else "times NumPy"
    report.checks[f"Gram, {columns} columns of {dtype}: {what}"] = ratio
    return report


def against_syrk(X: Any, h: Any) -> dict[str, Callable[[], Any]]:
    """The library's symmetric product of as many rows, always of the same tile in the cache: nothing is weighted."""
    from scipy.linalg.blas import dsyrk, ssyrk

    product = ssyrk if X.dtype == np.float32 else dsyrk
    tile = X[:GRAM_TILE].T  # in the library's order
    total = np.zeros((X.shape[1], X.shape[1]), X.dtype, order="F")
    tiles, rest = divmod(len(X), GRAM_TILE)

    def run() -> None:
        for _ in range(tiles):
            product(1.0, tile, beta=1.0, c=total, overwrite_c=True)
        if rest:
            product(1.0, tile[:, :rest], beta=1.0, c=total, overwrite_c=True)

    return {"syrk on a tile": run}


def against_numpy(X: Any, h: Any) -> dict[str, Callable[[], Any]]:
    return {"NumPy": lambda: X.T @ (h[:, None] * X)}


# --- histograms -----------------------------------------------------------------------------------------------------


def histograms(effort: Effort) -> list[Report]:
    rows = effort.rows(HISTOGRAM_ROWS)
    rng = np.random.default_rng(SEED)
    codes = rng.integers(0, BINS, (rows, FEATURES), dtype=np.uint8)
    g, h = rng.standard_normal(rows, np.float32), rng.random(rows, np.float32)
    report = effort.report("histograms", rows, FEATURES, "uint8")
    B, s = lz.from_array(codes), lz.param("s", dtype="float32")
    G, H = s * lz.from_array(g), s * lz.from_array(h)
    runs: dict[str, Callable[[], Any]] = {}
    for name, values in ((OURS, [G, H]), ("lazyml, and counts", [G, H, lz.ones_like(G)])):
        made = lz.compile(lz.segment_sum(lz.stack(values, axis=1), B, BINS), threads=effort.threads, backend="numba")
        runs[name] = partial(made.prepare(), s=1.0)
    last = FEATURES - 1
    expected = np.stack([np.bincount(codes[:, last], weights, BINS) for weights in (g, h)], axis=1)
    agree(report, "histograms: of the last feature", runs[OURS]()[last], expected, 1e-6)
    trees = boosted(codes, effort.threads, report.notes)
    found = effort.times(runs | trees)
    report.timings = {name: found[name] for name in runs}
    if trees:
        peers = [of_a_level(found, way) for way in WAYS]
        report.timings |= {timing.name: timing for timing in peers}
        fastest = min(timing.median for timing in peers)
        if fastest > 0:
            report.checks["histograms: times LightGBM"] = fastest / found[OURS].median
        else:
            report.notes.append("LightGBM: other work on the machine hides its differences, which are below 0")
    report.checks["histograms: ns a code"] = found[OURS].median / codes.size * 1e9
    return [report]


WAYS = ("force_col_wise", "force_row_wise")


def boosted(codes: Any, threads: int, notes: list[str]) -> dict[str, Callable[[], Any]]:
    """LightGBM's trainings of trees of one split, by name: each way, few features and all, one tree and more."""
    try:
        import lightgbm
    except ImportError:
        notes.append("LightGBM is not installed and was left out: pip install 'lazyml[bench]'")
        return {}
    exact = {"max_bin": BINS, "min_data_in_bin": 1, "feature_pre_filter": False, "use_missing": False, "verbose": -1}
    label = (np.random.default_rng(SEED).random(len(codes)) < 0.5).astype(np.float32)
    runs: dict[str, Callable[[], Any]] = {}
    for features in (FEW_FEATURES, FEATURES):
        data = lightgbm.Dataset(codes[:, :features].astype(np.float32), label=label, params=exact).construct()
        assert data.feature_num_bin(0) == len(np.unique(codes[:, 0])), "it has other bins"
        for way in WAYS:
            options = {**exact, "objective": "binary", "num_leaves": 2, "num_threads": threads, way: True}
            for trees in (1, 1 + MORE_TREES):
                runs[f"{way} {features} {trees}"] = partial(lightgbm.train, options, data, num_boost_round=trees)
    return runs


def of_a_level(found: dict[str, Timing], way: str) -> Timing:
    """What the histograms of all features take."""

    def grown(features: int) -> Timing:
        more, one = found[f"{way} {features} {1 + MORE_TREES}"], found[f"{way} {features} 1"]
        return difference("", more, one, 1 / MORE_TREES)

    scale = FEATURES / (FEATURES - FEW_FEATURES)
    return difference(f"LightGBM, {way[6:]}", grown(FEATURES), grown(FEW_FEATURES), scale)


SECTIONS: dict[str, Callable[[Effort], list[Report]]] = {
    "k-means": kmeans, "models": models, "Gram": gram, "histograms": histograms,
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0, help="of the rows of each")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--threads", type=int, default=min(2, processors()))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args(arguments)
    effort = Effort(options.share, options.threads, options.repeats)
    reports = []
    for name in options.only:
        with threadpool_limits(options.threads):
            found = SECTIONS[name](effort)
        for report in found:
            print(report.text(), end="\n\n", flush=True)
        reports += found
    if options.json:
        print(json.dumps({"benchmark": "models", "sections": [report.as_json() for report in reports]}), flush=True)
    return 1 if any(report.failures for report in reports) else 0


if __name__ == "__main__":
    raise SystemExit(main())
