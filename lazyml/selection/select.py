"""``lz.select``: settings by how well they do on rows that were held out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lazyml.array import Array
from lazyml.errors import ParameterError
from lazyml.selection.losses import select_loss
from lazyml.selection.others import select_other
from lazyml.selection.table import Selection, check_rule
from lazyml.solvers.base import MAX_ITERATIONS, TOLERANCE


def select(
    model: Any,
    grid: Mapping[str, Any] | list[Mapping[str, Any]],
    X: Any = None,
    y: Any = None,
    *,
    cv: Any = 5,
    score: Any = None,
    larger_is_better: bool | None = None,
    rule: str = "min",
    sample_weight: Any = None,
    groups: Any = None,
    start: Mapping[str, Any] | None = None,
    refit: bool = True,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    max_iterations: int = MAX_ITERATIONS,
    memory: int | str | None = None,
    threads: int | None = None,
) -> Selection:
    """Fit a model for every combination of settings without each fold in turn, and compare them where they were not
    fitted.

    - A loss, a scalar formula: ``grid`` names those of its parameters that are settings, as ``l2 = lz.param("l2")``;
      the others are trained. Every setting x fold is a column in the same passes. No X and y.
    - An estimator of ``lazyml.models`` and its data: what differs in the penalty alone shares passes, and so does what
      shares its loss; squared losses take one pass for everything.
    - Any other estimator with ``get_params``, ``fit`` and ``score``, on data in memory: a fit each.

    Parameters
    ----------
    model : Array or estimator
    grid : mapping or list of mappings
        Names and lists of values, all combinations of which are candidates. Strong penalties first, where fits are to
        start from one another.
    X, y : the data of an estimator
        As for its ``fit``.
    cv : int, array, Array, "file.h5:dataset", list of (train, test), splitter, or None
        A number of folds, by a hash of the row's number; the fold of each row (by its dataset for an estimator); for
        data in memory what scikit-learn has. None, for a loss, trains on all rows: a list of values in the same passes,
        without folds.
    score : formula, function or str, optional
        For a loss: a formula of its parameters, taken over the rows held out; made of sums and means over rows.
        For an estimator of ours: "accuracy", "neg_log_loss", "r2", "neg_mean_squared_error",
        "neg_mean_absolute_error", or score(y, prediction) that gives such a formula. Otherwise the loss itself, without
        penalties, or the estimator's ``score``.
    larger_is_better : bool, optional
        Of a score that is a formula or function: False unless told otherwise.
    rule : "min" or "1se"
        The best mean score, or the strongest penalty within one standard error of it.
    sample_weight, groups
        Of an estimator, and of a splitter.
    start : mapping, optional
        Of a loss: where the first fit starts.
    refit : bool
        Whether ``model`` of the result is fitted with the best settings to all rows.
    seed : int
        Of the folds.
    tolerance, max_iterations : as in ``lz.minimize``
        Of a loss; an estimator has its own.
    memory, threads : as in ``lz.minimize``

    Returns
    -------
    Selection
        ``table``, ``best``, ``best_score``, ``n_passes``, ``choose(rule)``, ``plot()``, ``fits``, and ``model``: the
        Result, or the fitted estimator, with the best settings.

    Raises
    ------
    ParameterError
        A name that the model has not, a value that is none, folds that are none.
    Warns with ConvergenceWarning and SeparationWarning, which name settings and folds.

    >>> import numpy as np, lazyml as lz
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((200, 3))
    >>> y = lz.from_array((rng.random(200) < 1 / (1 + np.exp(-X[:, 0]))).astype(float))
    >>> w, l2 = lz.param("w", 3), lz.param("l2")
    >>> z = lz.from_array(X) @ w
    >>> found = lz.select(lz.mean(lz.softplus(z) - y * z) + 0.5 * l2 * lz.sum(w**2), {"l2": [10, 0.1, 0.001]}, cv=4)
    >>> found.best, found.model.params["w"].round(2).tolist()
    ({'l2': 0.001}, [0.98, -0.13, -0.17])
    """
    check_rule(rule)
    options = {"cv": cv, "score": score, "rule": rule, "refit": refit, "seed": seed, "memory": memory,
               "threads": threads}  # fmt: skip
    if isinstance(model, Array):
        return select_loss(model, grid, larger_is_better=bool(larger_is_better), start=start, tolerance=tolerance,
                           max_iterations=max_iterations, **options)  # fmt: skip
    if not (hasattr(model, "get_params") and hasattr(model, "fit")):
        raise ParameterError("nothing to select for", expected="a scalar formula, or an estimator with get_params and "
                             "fit", found=type(model).__name__)  # fmt: skip
    if X is None or y is None:
        raise ParameterError("an estimator needs data", expected="lz.select(estimator, grid, X, y)",
                             found="no X" if X is None else "no y")  # fmt: skip
    data = {"sample_weight": sample_weight, "groups": groups, "larger_is_better": larger_is_better}
    chooser = getattr(model, "_select", None)
    return chooser(grid, X, y, **data, **options) if chooser else select_other(model, grid, X, y, **data, **options)
