"""The minimum of a quadratic model and a penalty with kinks, in the coordinates in which the model keeps its digits."""

from __future__ import annotations

import numpy as np

from lazyml.solvers.metric import Hessian
from lazyml.solvers.oracle import Penalised


def minimum_of_model(penalty: Penalised, x: np.ndarray, gradient: np.ndarray, hessian: Hessian) -> np.ndarray:
    """``argmin_u g'(u - x) + (u - x)'H(u - x) / 2 + P(u)``, H positive semidefinite.

    With ``H = T'CT`` of columns that were centred the model is that of ``T u``, with slope ``T^-T g`` and Hessian C. T
    changes intercepts only; a penalty that leaves these alone is the same of both.

    >>> from lazyml.solvers.penalty import Penalty
    >>> H = Hessian(np.diag([2.0, 1.0]), np.array([[1.0, 0.0], [1e9, 1.0]]))  # a column of mean 1e9, its intercept
    >>> minimum_of_model(Penalty(np.array([1.0, 0.0])), np.zeros(2), np.array([-3.0, 0.0]), H).round(6).tolist()
    [1.0, -1000000000.0]
    """
    if hessian.basis is None or not penalty.leaves(hessian.intercepts):
        return penalty.minimum_of_model(x, gradient, hessian.dense())
    found = penalty.minimum_of_model(hessian.basis @ x, hessian.back.T @ gradient, hessian.matrix)
    return np.asarray(hessian.back @ found)
