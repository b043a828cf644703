"""Matrix products."""

from __future__ import annotations

import numpy as np

from lazyml.expr import infer
from lazyml.expr.derivatives import products as d
from lazyml.expr.node import Doc
from lazyml.expr.ops.table import row

# fmt: off
row("matmul", "product", infer.matmul, lambda node, x, y: np.matmul(x, y, dtype=node.dtype), d.matmul,
    "kernel:row_product", 2, "{0} @ {1}",
    Doc("the matrix product of vectors and matrices. One side is small, or the rows are summed over as in X.T @ y",
        "g @ y.T and x.T @ g", "X @ w"))
row("contract_rows", "product", infer.contract_rows, lambda node, x, y: np.matmul(x.T, y, dtype=node.dtype),
    d.contract_rows, "kernel:contract_rows", 2, "{0}' @ {1}",
    Doc("the matrix product x.T @ y summed over the rows of both, as a pass computes it", "y @ g.T and x @ g",
        "X.T @ r"))
row("gram", "product", infer.gram, lambda node, x: np.matmul(x.T, x, dtype=node.dtype), d.gram, "kernel:gram", 1,
    "gram({0})",
    Doc("X' @ X summed over the rows, of which half is computed", "x @ (g + g.T)", "X.T @ X"))
row("weighted_gram", "product", infer.gram,
    lambda node, x, h: np.matmul((x * np.asarray(h)[:, None]).T, x, dtype=node.dtype), d.weighted_gram,
    "kernel:gram", 1, "gram({0}, {1})",
    Doc("X' @ (h[:, None] * X) summed over the rows, of which half is computed",
        "h * (x @ (g + g.T)), and each row's x @ g @ x", "X.T @ (h[:, None] * X)"))
row("centred_matmul", "product", infer.centred_matmul,
    lambda node, x, m, w: np.matmul(np.subtract(x, m), w, dtype=node.dtype), d.centred_matmul,
    "kernel:centred_matmul", 3, "centred_matmul({0}, {1}, {2})",
    Doc("(X - m) @ w, centred in registers: no centred copy of X, and no digits lost to a large mean",
        "g w', -sum(g) * w and (X - m)' g", "(X - mean(X, axis=0)) @ w"))
row("centred_contract", "product", infer.centred_contract,
    lambda node, x, m, r: np.matmul(np.subtract(x, m).T, r, dtype=node.dtype), d.centred_contract,
    "kernel:centred_contract", 3, "centred_contract({0}, {1}, {2})",
    Doc("(X - m)' @ r summed over the rows, centred in registers", "r g', -sum(r) * g and (X - m) g",
        "(X - mean(X, axis=0)).T @ r"))
