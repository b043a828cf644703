"""Linear algebra of small matrices, and contractions over rows. Applied to plain arrays they compute at once.

A small matrix is one without a row axis: a parameter, a constant, or a total such as X.T @ X. Its algebra is done by
NumPy between passes, in float32 when all is float32, else in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from lazyml import array as arrays
from lazyml.array import Array
from lazyml.errors import LazymlError, ShapeError, UnsupportedError
from lazyml.expr import build
from lazyml.expr import einsum as contraction
from lazyml.expr.infer import show_shape
from lazyml.expr.node import Node, Rows, apply
from lazyml.expr.show import formula
from lazyml.functions import along
from lazyml.functions.elementwise import at_once

__all__ = [
    "cholesky",
    "cumsum",
    "det",
    "diag",
    "diagonal",
    "einsum",
    "inv",
    "outer",
    "reshape",
    "slogdet",
    "solve",
    "trace",
]


def det(A: Any) -> Any:
    """The determinant of a small square matrix. log(det(A)) is computed as slogdet(A) is, without overflow.

    Shapes: (d, d) gives a number.

    Derivative: det(A) * inv(A).T; of a singular matrix it is refused.

    Raises ShapeError, UnsupportedError for a row-aligned matrix.

    >>> import lazyml as lz
    >>> A = lz.param("A", (2, 2))
    >>> float(lz.compute(lz.det(A), params={"A": [[2.0, 1.0], [0.0, 3.0]]}))
    6.0
    """
    return _apply("det", A)


class SlogdetResult(NamedTuple):
    """Sign and logarithm of the size of a determinant."""

    sign: Any
    logabsdet: Any


def slogdet(A: Any) -> SlogdetResult:
    """The sign of the determinant and log(abs(det(A))), two results, without overflow: 0 and -inf of a singular matrix.

    Shapes: (d, d) gives two numbers.

    Derivative: 0 of the sign and inv(A).T of the logarithm.

    Raises ShapeError, UnsupportedError for a row-aligned matrix.

    >>> import lazyml as lz
    >>> sign, logdet = lz.slogdet(1e-5 * lz.param("A", (100, 100)))
    >>> lz.compute(logdet, params={"A": np.eye(100)}).round(3)
    np.float64(-1151.293)
    """
    return SlogdetResult(_apply("det_sign", A), _apply("logdet", A))


def inv(A: Any) -> Any:
    """The inverse of a small square matrix.

    Shapes: (d, d) gives (d, d).

    Derivative: -inv(A).T @ g @ inv(A).T.

    Raises ShapeError, UnsupportedError for a row-aligned matrix, and LinearAlgebraError when the matrix turns out to be
    singular.

    >>> import lazyml as lz
    >>> A = lz.param("A", (2, 2))
    >>> lz.compute(lz.inv(A), params={"A": [[2.0, 0.0], [0.0, 4.0]]})
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    return _apply("inv", A)


def solve(A: Any, b: Any) -> Any:
    """x with A @ x = b, of a small square matrix A. With b row-aligned, such as X.T, it is the product inv(A) @ b.

    Shapes: A (d, d) and b (d,) give (d,); b (d, k) gives (d, k).

    Derivative: h = solve(A.T, g) in b, and -outer(h, x) in A.

    Raises ShapeError, UnsupportedError for a row-aligned A, and LinearAlgebraError when it turns out to be singular.

    >>> import lazyml as lz
    >>> X, y = lz.from_array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]]), lz.from_array([1.0, 3.0, 5.0])
    >>> lz.compute(lz.solve(X.T @ X, X.T @ y)).round(9)
    array([1., 2.])
    """
    if isinstance(b, Array) and b.node.row_axis == b.ndim - 1:
        return arrays.matmul(inv(A), b)
    return _apply("solve", A, b)


def cholesky(A: Any) -> Any:
    """The lower triangular L with L @ L.T = (A + A.T) / 2, of a small symmetric positive definite matrix.

    It is taken of the symmetric part, so that its derivative is symmetric.

    Shapes: (d, d) gives (d, d).

    Derivative: the symmetric part of inv(L).T @ P @ inv(L), with P the lower triangle of L.T @ g and half its diagonal.

    Source of the derivative: Murray, "Differentiation of the Cholesky decomposition" (2016).

    Raises ShapeError, UnsupportedError for a row-aligned matrix, and LinearAlgebraError when it turns out not to be
    positive definite.

    >>> import lazyml as lz
    >>> A = lz.param("A", (2, 2))
    >>> lz.compute(lz.cholesky(A), params={"A": [[4.0, 2.0], [2.0, 2.0]]})
    array([[2., 0.],
           [1., 1.]])
    """
    return _apply("cholesky", A)


def diagonal(A: Any) -> Any:
    """The diagonal of a small matrix.

    Shapes: (p, q) gives (min(p, q),).

    Derivative: a matrix with g on its diagonal, 0 elsewhere.

    Raises ShapeError, UnsupportedError for a row-aligned matrix.

    >>> import lazyml as lz
    >>> X = lz.from_array([[1.0, 2.0], [3.0, 4.0]])
    >>> lz.compute(lz.diagonal(X.T @ X))
    array([10., 20.])
    """
    return _apply("diagonal", A)


def diag(x: Any) -> Any:
    """Of a small vector the matrix that has it on its diagonal, 0 elsewhere; of a small matrix its diagonal.

    Shapes: (d,) gives (d, d); (p, q) gives (min(p, q),).

    Derivative: of a vector the diagonal of g; of a matrix that of diagonal.

    Raises ShapeError, UnsupportedError for row-aligned Arrays: a product with diag(y) is y[:, None] * X.

    >>> import lazyml as lz
    >>> lz.compute(lz.diag(lz.param("s", 2)), params={"s": [1.0, 2.0]})
    array([[1., 0.],
           [0., 2.]])
    """
    shape = np.shape(x)
    if isinstance(x, Array) and x.node.row_axis is not None and len(shape) == 1:
        raise UnsupportedError("a diagonal matrix of all rows can not be streamed", expected="a small vector",
                               found=show_shape((x.node.shape[0], x.node.shape[0])), formula=f"diag({x.name})",
                               where=arrays.here(), fix="write y[:, None] * X for diag(y) @ X")  # fmt: skip
    return diagonal(x) if len(shape) == 2 else _apply("diag", x, arg=(shape[0], shape[0]) if len(shape) == 1 else (0,))


def trace(A: Any) -> Any:
    """The sum of the diagonal of a small matrix.

    Shapes: (p, q) gives a number.

    Derivative: a matrix with g on its diagonal, 0 elsewhere.

    Raises ShapeError, UnsupportedError for a row-aligned matrix.

    >>> import lazyml as lz
    >>> X = lz.from_array([[1.0, 2.0], [3.0, 4.0]])
    >>> lz.compute(lz.trace(X.T @ X))
    np.float64(30.0)
    """
    found = diagonal(A)
    return along.reduce("sum", found, None, False) if isinstance(found, Array) else np.sum(found)


def outer(a: Any, b: Any) -> Any:
    """a[:, None] * b of two vectors. One of them may be row-aligned, which gives a row-aligned matrix.

    Shapes: (p,) and (q,) give (p, q); (n,) and (q,) give (n, q).

    Derivative: g @ b and a @ g.

    Raises ShapeError for what is no vector, UnsupportedError when both are row-aligned.

    >>> import lazyml as lz
    >>> lz.compute(lz.outer(lz.from_array([1.0, 2.0, 3.0]), [10.0, 20.0]))
    array([[10., 20.],
           [20., 40.],
           [30., 60.]])
    """
    if not isinstance(a, Array) and not isinstance(b, Array):
        return np.outer(a, b)
    x, y = _nodes("outer", a, b)
    for node in (x, y):
        if node.ndim != 1:
            raise ShapeError("an outer product is of two vectors", expected="(p,) and (q,)",
                             found=f"{show_shape(x.shape)} and {show_shape(y.shape)}", where=arrays.here(),
                             fix="reshape a small array to (-1,) first")  # fmt: skip
    try:
        return Array(build.multiply(build.expand(x, 1), build.expand(y, 0)))
    except UnsupportedError as error:
        raise UnsupportedError(error.what, found=error.details["found"], formula=f"outer({formula(x)}, {formula(y)})",
                               where=arrays.here(), fix="write u * (v @ w) for outer(u, v) @ w, as in X.T @ (X @ v)",
                               ) from None  # fmt: skip


def reshape(x: Any, shape: int | Sequence[int]) -> Any:
    """A small array in another shape, line by line; one size may be -1. A row-aligned Array keeps its rows.

    Shapes: (p, q) gives any shape of p * q elements; (n,) gives (n, 1), and back.

    Derivative: g in the first shape.

    Raises ShapeError for another number of elements, UnsupportedError for anything else of row-aligned Arrays.

    >>> import lazyml as lz
    >>> lz.compute(lz.reshape(lz.param("w", 4), (2, -1)), params={"w": [1.0, 2.0, 3.0, 4.0]})
    array([[1., 2.],
           [3., 4.]])
    """
    if not isinstance(x, Array):
        return np.reshape(x, shape)
    asked = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    sizes = _completed(x, asked)
    if x.node.row_axis is None:
        return _apply("reshape", x, arg=sizes)
    if sizes == x.shape:
        return x
    if x.node.row_axis == 0 and sizes == (*x.shape, 1):
        return Array(build.expand(x.node, 1))
    if x.node.row_axis == 0 and (*sizes, 1) == x.shape:
        return Array(build.squeeze(x.node, 1))
    raise UnsupportedError("a row-aligned Array keeps its rows", expected="(n,) from (n, 1), or (n, 1) from (n,)",
                           found=f"{show_shape(x.node.shape)} to {sizes}", formula=x.name,
                           where=arrays.here())  # fmt: skip


def cumsum(x: Any, axis: int | None = None) -> Any:
    """The sums of the first 1, 2, 3, ... elements of a small array along an axis; of all its elements, line by line,
    when no axis is given.

    Shapes: (k,) gives (k,); (p, q) gives (p, q) with an axis, (p * q,) without.

    Derivative: for each element the sum of g from there on.

    Raises ShapeError for an axis that is not there, UnsupportedError for a row-aligned Array.

    >>> import lazyml as lz
    >>> counts = lz.bincount(lz.from_array([1, 0, 1, 2]), minlength=3)
    >>> lz.compute(lz.cumsum(counts))
    array([1, 3, 4])
    """
    if not isinstance(x, Array):
        return np.cumsum(x, axis)
    if axis is None:
        x, axis = x if x.node.row_axis is not None else reshape(x, (-1,)), 0
    return _apply("cumsum", x, arg=along.normalise_axes(axis, x.node)[0])


def _completed(x: Array, asked: tuple[Any, ...]) -> tuple[int, ...]:
    """The sizes of a new shape, what is -1 worked out."""
    known = [int(size) for size in asked if isinstance(size, (int, np.integer)) and size >= 0]
    product = math.prod(known)
    if len(known) == len(asked) and product == x.size:
        return tuple(known)
    if len(known) == len(asked) - 1 and -1 in asked and product and x.size % product == 0:
        return tuple(x.size // product if size == -1 else int(size) for size in asked)
    raise ShapeError("the new shape has another number of elements", expected=f"{x.size} elements, one size may be -1",
                     found=str(asked), formula=x.name, where=arrays.here())  # fmt: skip


def einsum(subscripts: str, *operands: Any) -> Any:
    """The sum of products that `subscripts` describes, as in NumPy: "ni,nj->ij" is X.T @ Y.

    Operands are row-aligned Arrays and small ones; one letter at most, the row letter, stands for the rows. It is
    planned into products, sums and elementwise work that stream, such as

        "n,ni,nj->ij"   X.T @ (w[:, None] * Y), a weighted Gram matrix
        "ni,ij,nj->n"   sum((X @ A) * Y, axis=1), a quadratic form a row
        "ni->i"         sum(X, axis=0)

    Totals over rows are float64.

    Shapes: those that the letters say.

    Derivative: the sum of products in which g and the operand change places.

    Raises ShapeError for subscripts that do not fit
    their operands, UnsupportedError for a result or a part that would be too large, with its size.

    >>> import lazyml as lz
    >>> X, w = lz.from_array([[1.0, 2.0], [3.0, 4.0]]), lz.from_array([1.0, 10.0])
    >>> lz.compute(lz.einsum("n,ni,nj->ij", w, X, X))
    array([[ 91., 122.],
           [122., 164.]])
    """
    if not isinstance(subscripts, str):
        raise ShapeError("subscripts come first, as text", expected='"ni,nj->ij"', found=type(subscripts).__name__,
                         where=arrays.here())  # fmt: skip
    if not any(isinstance(x, Array) for x in operands):
        return np.einsum(subscripts, *operands)
    try:
        return Array(contraction.einsum(subscripts, _streamed(subscripts, _nodes("einsum", *operands))))
    except LazymlError as error:
        raise error.with_details(formula=f'einsum("{subscripts}", ...)', where=arrays.here()) from None


def _streamed(subscripts: str, nodes: list[Node]) -> list[Node]:
    """A plain array that has the letter of the rows is streamed with them."""
    terms = subscripts.replace(" ", "").partition("->")[0].split(",")
    if [len(term) for term in terms] != [node.ndim for node in nodes]:
        return nodes  # which is an error
    rows = {letter: size for term, node in zip(terms, nodes, strict=True)
            for letter, size in zip(term, node.shape, strict=True) if isinstance(size, Rows)}  # fmt: skip
    found = []
    for term, node in zip(terms, nodes, strict=True):
        at = [axis for axis, letter in enumerate(term) if letter in rows and node.shape[axis] == int(rows[letter])]
        if node.op == "const" and len(at) == 1 and node.ndim <= 2:
            turned = arrays.from_ndarray(node.arg.value.T if at[0] else node.arg.value).node
            node = build.transpose(turned) if at[0] else turned
        found.append(node)
    return found


def _nodes(op: str, *operands: Any) -> list[Node]:
    return [arrays.coerce(x, None, op) for x in operands]


def _apply(op: str, *operands: Any, arg: Any = None) -> Any:
    """An operator on Arrays, or at once on plain arrays."""
    if not any(isinstance(x, Array) for x in operands):
        return at_once(op, *operands, arg=arg)
    nodes = _nodes(op, *operands)
    try:
        return Array(apply(op, *nodes, arg=arg))
    except LazymlError as error:
        shown = f"{op}({', '.join(formula(node, depth=4) for node in nodes)})"
        raise error.with_details(formula=shown, where=arrays.here()) from None
