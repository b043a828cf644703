"""What a fitted multinomial likelihood tells besides its coefficients.

With p_ik the probability of class k and D = (X, 1), the information has the blocks

    A_kl = D' diag(s p_k (delta_kl - p_l)) D

It says nothing of what is added to the coefficients of all classes alike, so that it is inverted on the rest: with the
columns of Q a basis of what sums to zero, the covariance is ``(Q x I) ((Q x I)' A (Q x I))^-1 (Q x I)'``. Differences
of two classes, which are log odds, have the variances that they have in any other choice of what is held fixed, such as
a class whose coefficients are 0. HC0 and HC1 have ``D' diag(s u_k u_l) D`` between, with scores u = (y = k) - p_k.

Source: Agresti, Categorical Data Analysis, 2013, section 8.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import lazyml as lz
from lazyml.errors import InferenceError
from lazyml.models.linear.inference import Inference, assembled, gram, inverse_of
from lazyml.models.linear.model import Data

FEW_ROWS = 200_000
"""Up to so many the many Gram matrices go by NumPy: to compile them takes ten seconds and more."""


def infer_classes(
    data: Data, coef: np.ndarray, intercept: np.ndarray, sizes: np.ndarray, has_intercept: bool, covariance: str,
    options: dict[str, Any],
) -> Inference:  # fmt: skip
    """Everything, at coefficients (k, d) and intercepts (k,); ``sizes`` (k,) are the weights of the classes.

    The covariance is by class, each with its intercept last.
    """
    k, d = coef.shape
    s: Any = 1.0 if data.weights is None else data.weights
    Z = data.X @ coef.T + intercept
    P = lz.softmax(Z, axis=1)
    centre = lz.mean(data.X, axis=0) if has_intercept else np.zeros(d)
    D = data.X - centre
    pairs = [(a, b) for a in range(k) for b in range(a, k)]
    totals = {
        "information": [gram(D, s * P[:, a] * ((a == b) - P[:, b]), has_intercept) for a, b in pairs],
        "loss": lz.sum(s * (lz.logsumexp(Z, axis=1) - lz.sum(Z * lz.one_hot(data.y, k), axis=1))),
        "centre": centre,
    }
    if covariance != "nonrobust":
        U = lz.one_hot(data.y, k) - P
        totals["meat"] = [gram(D, s * U[:, a] * U[:, b], has_intercept) for a, b in pairs]
    few = int(data.X.shape[0]) <= FEW_ROWS
    found = lz.compile(totals, backend="numpy" if few else "auto", **options)()
    basis = np.kron(_sum_to_zero(k), np.eye(d + has_intercept))
    inverse, rank, lost = inverse_of(basis.T @ _square(found["information"], pairs, k) @ basis)
    sandwich = inverse
    if covariance != "nonrobust":
        if covariance == "HC1" and data.total <= rank:
            raise InferenceError("as many coefficients as rows leave no variance to estimate", expected="more rows",
                                 found=f"{data.total:g} rows and {rank} coefficients")  # fmt: skip
        meat = basis.T @ _square(found["meat"], pairs, k) @ basis
        sandwich = inverse @ meat @ inverse * (data.total / (data.total - rank) if covariance == "HC1" else 1.0)
    if has_intercept:  # from the intercepts of centred columns to those of the columns as they are
        back = np.eye(d + 1)
        back[-1, :-1] = -found["centre"]
        basis = np.kron(np.eye(k), back) @ basis
    whole = basis @ sandwich @ basis.T
    of_columns = lost.reshape(k - 1, -1).any(axis=0)
    undetermined = np.tile(of_columns, k)
    whole[undetermined, :] = whole[:, undetermined] = np.nan
    shares = sizes[sizes > 0]
    null = float(-2 * (shares @ np.log(shares / shares.sum()))) if has_intercept else 2 * float(sizes.sum() * np.log(k))
    deviance = 2 * float(found["loss"])
    return Inference(whole, deviance, null, -deviance / 2, 1.0, data.total, rank)


def _sum_to_zero(k: int) -> np.ndarray:
    """A basis (k, k - 1) of the vectors whose entries sum to zero, of unit length and upright to each other.

    >>> Q = _sum_to_zero(3)
    >>> np.allclose(Q.T @ Q, np.eye(2)), np.allclose(Q.sum(axis=0), 0)
    (True, True)
    """
    return np.linalg.qr(np.column_stack([np.ones(k), np.eye(k)[:, 1:]]))[0][:, 1:]


def _square(blocks: Any, pairs: list[tuple[int, int]], k: int) -> np.ndarray:
    """All blocks of a symmetric matrix, from those on and above its diagonal."""
    whole = [[np.zeros(0)] * k for _ in range(k)]
    for (a, b), block in zip(pairs, blocks, strict=True):
        whole[a][b] = assembled(block)
        whole[b][a] = whole[a][b].T
    return np.block(whole)
