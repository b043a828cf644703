"""Shape and dtype rules of small-side linear algebra: matrices without a row axis, in float32 or float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyml.errors import ShapeError, UnsupportedError
from lazyml.expr.infer import Dtype, Typed, show_shape, total, widen
from lazyml.expr.node import Node, Shape


def small(node: Node) -> Node:
    """The node, which must not be aligned with the rows."""
    if node.row_axis is not None:
        raise UnsupportedError("a row-aligned Array is not a small matrix", expected="a shape without a row axis",
                               found=show_shape(node.shape), fix="sum over the rows first, as in X.T @ X")  # fmt: skip
    return node


def square(node: Node) -> int:
    """The size of a small square matrix."""
    shape = small(node).shape
    if len(shape) != 2 or shape[0] != shape[1]:
        raise ShapeError("not a square matrix", expected="(d, d)", found=show_shape(shape))
    return shape[0]


def floating(*nodes: Node) -> Dtype:
    """float32 when all are, else float64."""
    dtype = np.dtype(np.result_type(*(node.dtype for node in nodes)))
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def determinant(src: tuple[Node, ...], arg: Any) -> Typed:
    square(src[0])
    return (), floating(src[0])


def same_square(src: tuple[Node, ...], arg: Any) -> Typed:
    """inv, cholesky: a matrix of the same size."""
    size = square(src[0])
    return (size, size), floating(src[0])


def solve(src: tuple[Node, ...], arg: Any) -> Typed:
    """A x = b, with b a vector or a matrix of right-hand sides as columns."""
    matrix, right = src
    size = square(matrix)
    if small(right).ndim not in (1, 2) or right.shape[0] != size:
        raise ShapeError("the right-hand side does not fit the matrix", expected=f"({size},) or ({size}, k)",
                         found=show_shape(right.shape))  # fmt: skip
    return right.shape, floating(matrix, right)


def diagonal(src: tuple[Node, ...], arg: Any) -> Typed:
    shape = small(src[0]).shape
    if len(shape) != 2:
        raise ShapeError("only a matrix has a diagonal", expected="(p, q)", found=show_shape(shape))
    return (min(shape),), src[0].dtype


def diag(src: tuple[Node, ...], shape: Shape) -> Typed:
    """Zeros of a shape with a vector on the diagonal."""
    if small(src[0]).shape != (min(shape),):
        raise ShapeError("a diagonal is a vector", expected=f"({min(shape)},)", found=show_shape(src[0].shape))
    return shape, src[0].dtype


def cumsum(src: tuple[Node, ...], axis: int) -> Typed:
    """The shape stays; integers and truth values are added up in 64 bits."""
    return small(src[0]).shape, total(src[0].dtype, over_rows=False)


def reshape(src: tuple[Node, ...], shape: Shape) -> Typed:
    size = int(np.prod(small(src[0]).shape, dtype=np.int64))
    if int(np.prod(shape, dtype=np.int64)) != size:
        raise ShapeError("the new shape has another number of elements", expected=f"{size} elements",
                         found=show_shape(shape))  # fmt: skip
    return shape, src[0].dtype


def einsum(src: tuple[Node, ...], subscripts: str) -> Typed:
    """Of one or two small operands; each letter once a term, and in two terms at least (see expr/einsum.py)."""
    *terms, out = subscripts.replace("->", ",").split(",")
    sizes = {letter: size for term, node in zip(terms, src, strict=True)
             for letter, size in zip(term, small(node).shape, strict=True)}  # fmt: skip
    for letter in sizes:
        if sum(term.count(letter) for term in (*terms, out)) < 2 or any(t.count(letter) > 1 for t in (*terms, out)):
            raise ShapeError("not a contraction in lowest terms", found=subscripts)
    dtype = widen(np.result_type(*(node.dtype for node in src)))
    return tuple(sizes[letter] for letter in out), dtype if dtype.kind == "f" else total(dtype, over_rows=False)
