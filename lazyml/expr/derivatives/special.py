"""Reverse-mode rules of the special functions.

x log y is 0 at x = 0 whatever y is, and so are its derivatives where they would not be finite: both are 0 where x = 0
and y <= 0, as in torch.special.xlogy.
"""

from __future__ import annotations

import math

import numpy as np

from lazyml.expr import build as b
from lazyml.expr.derivatives.common import Cotangents
from lazyml.expr.derivatives.elementwise import FACTORS
from lazyml.expr.node import Node, apply


def _bell(x: Node, y: Node, height: float) -> Node:
    """height * exp(-x**2)."""
    x = b.cast(x, y.dtype)
    return b.multiply(b.scalar_like(height, y), apply("exp", b.negative(b.multiply(x, x))))


def _polygamma(order: int, x: Node) -> Node:
    return apply("polygamma", b.const(order, np.int64), x)


FACTORS |= {
    "erf": lambda x, y: _bell(x, y, 2 / math.sqrt(math.pi)),
    "erfc": lambda x, y: _bell(x, y, -2 / math.sqrt(math.pi)),
    "gammaln": lambda x, y: apply("digamma", x),
    "digamma": lambda x, y: _polygamma(1, x),
}


def polygamma(node: Node, g: Node) -> Cotangents:
    order, x = node.src
    return None, b.multiply(g, apply("polygamma", b.add(order, b.const(1, order.dtype)), x))


def _product(node: Node, g: Node, log: str, pole: float) -> Cotangents:
    """x log(y - pole), with y put where nothing happens when x is 0 and the logarithm is not finite."""
    x, y = node.src[0], b.cast(node.src[1], node.dtype)
    nothing = apply("equal", x, b.zero_like(x))
    neither = apply("logical_and", nothing, apply("less_equal", y, b.scalar_like(pole, y)))
    safe = b.where(neither, b.scalar_like(pole + 1, y), y)
    distance = b.subtract(safe, b.scalar_like(pole, y)) if pole else safe
    return b.multiply(g, apply(log, safe)), b.multiply(g, b.divide(x, distance))


def xlogy(node: Node, g: Node) -> Cotangents:
    return _product(node, g, "log", 0)


def xlog1py(node: Node, g: Node) -> Cotangents:
    return _product(node, g, "log1p", -1)
