"""16 penalties x 3 folds of a logistic model in shared passes over a file, beside one fit; scikit-learn in memory.

    python -m benchmarks.select --rows 10000000 --json
    python -m benchmarks.select --peers                scikit-learn's LogisticRegressionCV, too

The objective is that of ``benchmarks.fit``, with l2 from 1e-1 to 1e-6. Ours reads the file, which is in the page
cache; what scikit-learn gets is in memory already. Both get the same folds, and ours the same tolerance for one fit and
for all 48. Exits with 1 where a column is not within 1e-6 of what a fit of its own finds.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import logistic_file
from benchmarks.harness import SETTLED, Contestant, Report, interleave, processors

PENALTIES = tuple(np.geomspace(1e-1, 1e-6, 16).tolist())
FOLDS = 3
GAP = 1e-6
ONE, ALL, PEER = "lazyml, one fit", "lazyml, 48 fits", "scikit-learn LogisticRegressionCV, in memory"
ONE_TARGET, PEER_TARGET = 10.0, 12.0
"""48 fits over one fit at most, and how many times the speed of scikit-learn."""


def formulas(path: Path, dtype: str) -> tuple[Any, Any]:
    """The loss of the data, and the sum of squares."""
    import lazyml as lz

    X, y = lz.open(path, "X"), lz.open(path, "y")
    w, b = lz.param("w", X.shape[1], dtype), lz.param("b", dtype=dtype)
    z = X @ w + b
    return lz.mean(lz.log(1 + lz.exp(z)) - y * z), lz.sum(w**2)


def one_fit(path: Path, options: argparse.Namespace, l2: float = 1e-4) -> Any:
    import lazyml as lz

    data, squares = formulas(path, options.dtype)
    return lz.minimize(data + 0.5 * l2 * squares, tolerance=options.tolerance, memory=options.memory,
                       threads=options.threads, progress=False)  # fmt: skip


def all_fits(path: Path, options: argparse.Namespace) -> Any:
    import lazyml as lz

    data, squares = formulas(path, options.dtype)
    strength = lz.param("l2", dtype=options.dtype)
    return lz.select(data + 0.5 * strength * squares, {"l2": PENALTIES}, cv=FOLDS, refit=False,
                     tolerance=options.tolerance, memory=options.memory, threads=options.threads)  # fmt: skip


def of_sklearn(path: Path, options: argparse.Namespace) -> Any:
    """LogisticRegressionCV with the same penalties, folds and score, or None where it is not installed."""
    try:
        from sklearn.linear_model import LogisticRegressionCV
        from threadpoolctl import threadpool_limits
    except ImportError:
        return None
    import h5py

    import lazyml as lz

    with h5py.File(path) as file:
        X, y = file["X"][:], file["y"][:]
    fold = lz.fold(X, FOLDS)
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(FOLDS)]
    Cs = [1 / (l2 * len(y) * (1 - 1 / FOLDS)) for l2 in PENALTIES]

    def fit() -> Any:
        model = LogisticRegressionCV(Cs=Cs, cv=splits, scoring="neg_log_loss", refit=False)
        with threadpool_limits(options.threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model.fit(X, y)

    return fit


def check(path: Path, options: argparse.Namespace, report: Report) -> None:
    """One of the columns against a fit of its own to the rows of two folds, by the loss of those rows."""
    import lazyml as lz

    found = all_fits(path, options)
    row, k = 9, 1
    X, y = lz.open(path, "X"), lz.open(path, "y")
    fold = lz.fold(X, FOLDS)
    w, b = lz.param("w", X.shape[1]), lz.param("b")
    z = X @ w + b
    rows = (fold != k).astype("float64")
    loss = lz.sum(rows * (lz.softplus(z) - y * z)) / lz.sum(rows) + 0.5 * PENALTIES[row] * lz.sum(w**2)
    exact = lz.minimize(loss, solver="newton", tolerance=1e-9, threads=options.threads, progress=False)
    value = lz.compile(loss, threads=options.threads)(**found.fits[row][k].params)
    gap = float(value) / exact.value - 1
    report.check("gap of a column", gap, gap <= GAP, f"at most {GAP:g}")
    report.check("passes", found.n_passes, all(r.converged for r in found.table), "converged")
    report.notes.append(f"best: l2 = {found.best['l2']:.3g}")


def compare(path: Path, options: argparse.Namespace, report: Report) -> None:
    check(path, options, report)
    one_fit(path, options)
    contestants = [Contestant(ONE, lambda: one_fit(path, options)),
                   Contestant(ALL, lambda: all_fits(path, options))]  # fmt: skip
    if options.peers:
        peer = of_sklearn(path, options)
        if peer is None:
            report.notes.append("scikit-learn is not installed and was left out")
        else:
            contestants.append(Contestant(PEER, peer))
    report.ours = (ONE, ALL)
    report.timings = interleave(contestants, options.repeats, warm=False, rest=SETTLED)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.select", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=28)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--tolerance", type=float, default=1e-4, help="of lz.minimize and lz.select")
    parser.add_argument("--threads", type=int, default=min(2, processors()))
    parser.add_argument("--memory", default="512 MiB", help="budget of ours")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", action="store_true", help="scikit-learn, too: minutes from 10,000,000 rows on")
    parser.add_argument("--folder", type=Path, help="where the file is kept and found again; temporary if not given")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    facts = {"rows": options.rows, "columns": options.columns, "dtype": options.dtype, "penalties": len(PENALTIES),
             "folds": FOLDS, "tolerance": options.tolerance, "threads": options.threads, "memory": options.memory,
             "repeats": options.repeats, "page_cache": "warm"}  # fmt: skip
    report = Report("select", facts)
    with tempfile.TemporaryDirectory(prefix="lazyml-benchmark-") as temporary:
        path = logistic_file(options.folder or Path(temporary), options.rows, options.columns, options.dtype)
        compare(path, options, report)
    return report.finish(options.json)


if __name__ == "__main__":
    raise SystemExit(main())
