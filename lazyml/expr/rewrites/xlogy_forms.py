"""Products that hold x and log(x), or log(x / y), wherever in the product these stand: 0 where x is 0, as the limit is.

x * log(x)          ->  xlogy(x, x)             x * log(x / y)    ->  xlogy(x, x / y)
-x * log(x)         ->  -xlogy(x, x)            w * x * log(x)    ->  w * xlogy(x, x)
x / 2 * log(x)      ->  xlogy(x, x) / 2         x * (w * log(x))  ->  w * xlogy(x, x)

Products of integers are not looked into: they may wrap around.
"""

from __future__ import annotations

from lazyml.expr import build as b
from lazyml.expr.node import OPS, Node, apply

MOST = 8
"""So many factors a product is looked into: one of thousands is not searched anew at each of them."""


def product(node: Node) -> Node | None:
    """x * .. * log(x), in any order and grouping."""
    if "xlogy" not in OPS:
        return None
    factors, divisors, negative = _parts(node)
    for log in factors:
        if log.op != "log":
            continue
        (inner,) = log.src
        for x in factors:
            if inner is x or (inner.op == "divide" and inner.src[0] is x):
                factors.remove(log)
                factors.remove(x)
                found = apply("xlogy", b.cast(x, node.dtype), b.cast(inner, node.dtype))
                return _together([*factors, found], divisors, negative)
    return None


def _parts(node: Node) -> tuple[list[Node], list[Node], bool]:
    """What a product multiplies and divides by, and whether its sign changes."""
    factors: list[Node] = []
    divisors: list[Node] = []
    negative = False
    waiting = [node]
    while waiting:
        part = waiting.pop()
        inside = part.dtype.kind == "f" and len(factors) + len(waiting) < MOST
        if inside and part.op == "negative":
            negative = not negative
            waiting.append(part.src[0])
        elif inside and part.op == "multiply":
            waiting += part.src[::-1]
        elif inside and part.op == "divide":
            waiting.append(part.src[0])
            divisors.append(part.src[1])
        else:
            factors.append(part)
    return factors, divisors, negative


def _together(factors: list[Node], divisors: list[Node], negative: bool) -> Node:
    made = factors[0]
    for factor in factors[1:]:
        made = b.multiply(made, factor)
    for divisor in divisors:
        made = b.divide(made, divisor)
    return b.negative(made) if negative else made
