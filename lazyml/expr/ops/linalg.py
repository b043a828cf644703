"""Linear algebra of small matrices, those without a row axis; computed by NumPy before, between and after passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lazyml.errors import LinearAlgebraError
from lazyml.expr import infer_linalg as infer
from lazyml.expr.derivatives import linalg as d
from lazyml.expr.derivatives.common import constant_derivative
from lazyml.expr.node import Derivative, Doc, Infer, Node
from lazyml.expr.ops.table import call_text, row
from lazyml.expr.show import formula

SINGULAR = "the matrix is singular"
INDEFINITE = "the matrix is not positive definite"
FIX = "add a small multiple of the identity, or leave out columns that depend on others"


def _checked(function: Callable[..., Any], problem: str) -> Callable[..., Any]:
    """A function of NumPy's in the type of the result, whose complaint names the formula."""

    def reference(node: Node, *x: Any) -> Any:
        try:
            return function(*(np.asarray(value, node.dtype) for value in x))
        except np.linalg.LinAlgError:
            raise LinearAlgebraError(problem, formula=formula(node), fix=FIX) from None

    return reference


def _cholesky(x: Any) -> Any:
    """Of the symmetric part: NumPy would look at the lower triangle only, and so would derivatives."""
    return np.linalg.cholesky((x + x.T) / 2)


def _diag(node: Node, x: Any) -> Any:
    out = np.zeros(node.arg, node.dtype)
    np.fill_diagonal(out, x)
    return out


def _einsum(node: Node, *x: Any) -> Any:
    return np.einsum(node.arg, *(np.asarray(value, node.dtype) for value in x), optimize=True)


def _row(name: str, infer: Infer, reference: Callable[..., Any], derivative: Derivative, flops: int, text: str,
         doc: Doc) -> None:  # fmt: skip
    row(name, "linalg", infer, reference, derivative, "plan:small", flops, text, doc)


# fmt: off
_row("det", infer.determinant, _checked(np.linalg.det, SINGULAR), d.det, 1, call_text("det", 1),
     Doc("the determinant of a small square matrix", "det(A) * inv(A).T", "det([[1.0, 2.0], [3.0, 4.0]])"))
_row("det_sign", infer.determinant, _checked(lambda x: np.linalg.slogdet(x)[0], SINGULAR), constant_derivative, 1,
     call_text("det_sign", 1),
     Doc("the sign of the determinant", "0", "slogdet([[1.0, 2.0], [3.0, 4.0]]).sign"))
_row("logdet", infer.determinant, _checked(lambda x: np.linalg.slogdet(x)[1], SINGULAR), d.logdet, 1,
     call_text("logdet", 1),
     Doc("log(abs(det(A))) without overflow; -inf of a singular matrix", "inv(A).T",
         "slogdet([[1.0, 2.0], [3.0, 4.0]]).logabsdet"))
_row("inv", infer.same_square, _checked(np.linalg.inv, SINGULAR), d.inv, 2, call_text("inv", 1),
     Doc("the inverse of a small square matrix", "-inv(A).T @ g @ inv(A).T", "inv([[1.0, 2.0], [3.0, 4.0]])"))
_row("solve", infer.solve, _checked(np.linalg.solve, SINGULAR), d.solve, 2, call_text("solve", 2),
     Doc("x with A @ x = b, b a vector or a matrix", "h = solve(A.T, g) in b and -h @ x.T in A",
         "solve([[1.0, 2.0], [3.0, 4.0]], [5.0, 6.0])"))
_row("cholesky", infer.same_square, _checked(_cholesky, INDEFINITE), d.cholesky, 1, call_text("cholesky", 1),
     Doc("lower L with L @ L.T = (A + A.T) / 2", "the symmetric part of inv(L).T @ P @ inv(L), with P the lower "
         "triangle of L.T @ g and half its diagonal", "cholesky([[2.0, 1.0], [1.0, 2.0]])"))
_row("diagonal", infer.diagonal, lambda node, x: np.diagonal(x), d.diagonal, 0, call_text("diagonal", 1),
     Doc("the diagonal of a small matrix", "a matrix with g on its diagonal", "diagonal([[1.0, 2.0], [3.0, 4.0]])"))
_row("diag", infer.diag, _diag, d.diag, 0, call_text("diag", 1),
     Doc("zeros with a small vector on the diagonal", "the diagonal of g", "diag([1.0, 2.0])"))
_row("cumsum", infer.cumsum, lambda node, x: np.cumsum(x, axis=node.arg, dtype=node.dtype), d.cumsum, 1,
     "cumsum({0}, axis={arg})",
     Doc("the sums of the first 1, 2, 3, ... elements of a small array along an axis",
         "for each element the sum of g from there on", "cumsum([1.0, 2.0, 3.0], axis=0)"))
_row("reshape", infer.reshape, lambda node, x: np.reshape(x, node.arg), d.reshape, 0, "reshape({0}, {arg})",
     Doc("a small array in another shape, row by row", "in the first shape", "reshape([1.0, 2.0, 3.0, 4.0], (2, 2))"))
_row("einsum", infer.einsum, _einsum, d.einsum, 2, 'einsum("{arg}", {all})',
     Doc("products of small arrays summed over letters that are not in the result",
         "the result and each term in turn change places", 'einsum("ij,ij->i", [[1.0, 2.0]], [[3.0, 4.0]])'))
