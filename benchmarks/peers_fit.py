"""The same logistic fit by scikit-learn on arrays in memory, and by PyTorch's LBFGS over blocks of the file.

Each gives ``fit(tolerance) -> (w, b, evaluations of all rows or None)``; None in its place where it is not installed.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers import torch_streaming

PeerFit = Callable[[float], tuple[Any, float, float | None]]
BLOCK = 131_072
ITERATIONS = 500


def sklearn_fit(X: Any, y: Any, l2: float, solver: str, threads: int) -> PeerFit | None:
    """LogisticRegression with C = 1 / (l2 n)."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits
    except ImportError:
        return None

    def fit(tolerance: float) -> tuple[Any, float, float | None]:
        model = LogisticRegression(C=1 / (l2 * len(y)), solver=solver, tol=tolerance, max_iter=ITERATIONS)
        with threadpool_limits(threads), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the gap says how far it came
            model.fit(X, y)
        return model.coef_[0].astype(float), float(model.intercept_[0]), None

    return fit


def sgd_epoch(X: Any, y: Any, l2: float, threads: int) -> Callable[[], Any] | None:
    """One epoch of SGDClassifier, wherever it ends."""
    try:
        from sklearn.linear_model import SGDClassifier
        from threadpoolctl import threadpool_limits
    except ImportError:
        return None

    def epoch() -> Any:
        with threadpool_limits(threads):
            return SGDClassifier(loss="log_loss", alpha=l2).partial_fit(X, y, classes=np.unique(y[:1000]))

    return epoch


def torch_fit(path: Path, l2: float, dtype: str, threads: int) -> PeerFit | None:
    """torch.optim.LBFGS with its strong Wolfe search; each evaluation streams the file."""
    try:
        import torch
    except ImportError:
        return None
    import h5py

    with h5py.File(path) as file:
        columns = file["X"].shape[1]

    def fit(tolerance: float) -> tuple[Any, float, float | None]:
        torch.set_num_threads(threads)
        theta = torch.zeros(columns + 1, dtype=torch.float64, requires_grad=True)
        solver = torch.optim.LBFGS([theta], max_iter=ITERATIONS, max_eval=ITERATIONS, tolerance_grad=tolerance,
                                   tolerance_change=0.0, line_search_fn="strong_wolfe")  # fmt: skip
        evaluations = 0

        def closure() -> Any:
            nonlocal evaluations
            evaluations += 1
            at = theta.detach().numpy()
            w, b = at[:-1].copy(), float(at[-1])
            value, slope, slope_b = torch_streaming(path, w, b, BLOCK, dtype, "memmap")()
            theta.grad = torch.from_numpy(np.append(slope + l2 * w, slope_b))
            return torch.tensor(value + 0.5 * l2 * float(w @ w), dtype=torch.float64)

        solver.step(closure)
        found = theta.detach().numpy()
        return found[:-1].copy(), float(found[-1]), float(evaluations)

    return fit
