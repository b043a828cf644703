"""Special functions: of the normal distribution, of Gamma, and products with logarithms. The references are SciPy's."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from lazyml.errors import DtypeError
from lazyml.expr import infer
from lazyml.expr.derivatives import special as d
from lazyml.expr.derivatives.elementwise import by_factor as factor
from lazyml.expr.node import Doc, Node
from lazyml.expr.ops.table import row, special_function


def scipy_reference(name: str) -> Any:
    """A function of scipy.special, imported when it is first called: a formula without it starts without SciPy."""

    def reference(*x: Any) -> Any:
        import scipy.special

        return getattr(scipy.special, name)(*x)

    return reference


def _infer_polygamma(src: tuple[Node, ...], arg: Any) -> infer.Typed:
    order, x = src
    if order.dtype.kind not in "iu":
        raise DtypeError("the order of a derivative is a whole number", expected="an integer type", found=order.dtype)
    shape, _ = infer.elementwise(np.logaddexp)(src, arg)
    return shape, infer.elementwise(np.exp)((x,), arg)[1]


def _polygamma(node: Node, n: Any, x: Any) -> Any:
    import scipy.special

    return np.asarray(scipy.special.polygamma(n, np.asarray(x, node.dtype)), node.dtype)


# fmt: off
special_function("erf", np.exp, scipy_reference("erf"), factor("erf"), "error_function.erf({0})", 60,
                 Doc("the error function: 2 / sqrt(pi) times the integral of exp(-t**2) from 0 to x",
                     "2 / sqrt(pi) * exp(-x**2)", "erf(0.5)"))
special_function("erfc", np.exp, scipy_reference("erfc"), factor("erfc"), "error_function.erfc({0})", 75,
                 Doc("1 - erf(x), with its digits for large x", "-2 / sqrt(pi) * exp(-x**2)", "erfc(10.0)"))
special_function("gammaln", np.exp, scipy_reference("gammaln"), factor("gammaln"), "special.gammaln({0})", 60,
                 Doc("log|Gamma(x)|; inf at 0, -1, -2, ...", "digamma(x)", "gammaln(5.0)"))
special_function("digamma", np.exp, scipy_reference("digamma"), factor("digamma"), "special.digamma({0})", 60,
                 Doc("the derivative of log Gamma(x)", "polygamma(1, x)", "digamma(1.0)"))
row("polygamma", "elementwise", _infer_polygamma, _polygamma, d.polygamma, "special.polygamma({0}, {1})", 120,
    "polygamma({0}, {1})",
    Doc("the derivative of order n of digamma, given as polygamma(n, x) with a whole number n",
        "polygamma(n + 1, x) in x; none in n", "polygamma(1, 1.0)", ("n", "x")))
special_function("xlogy", np.logaddexp, scipy_reference("xlogy"), d.xlogy, "special.xlogy({0}, {1})", 21,
                 Doc("x * log(y), and 0 where x is 0", "log(y) and x / y, both 0 where x is 0 and y <= 0",
                     "xlogy(0.0, 0.0)"))
special_function("xlog1py", np.logaddexp, scipy_reference("xlog1py"), d.xlog1py, "special.xlog1py({0}, {1})", 21,
                 Doc("x * log(1 + y), and 0 where x is 0",
                     "log(1 + y) and x / (1 + y), both 0 where x is 0 and y <= -1", "xlog1py(0.0, -1.0)"))
# fmt: on

SCIPY: dict[str, tuple[str, ...]] = {
    **{name: (name,) for name in ("cbrt", "erf", "erfc", "exp2", "expm1", "gammaln", "log1p", "xlogy", "xlog1py")},
    "expit": ("sigmoid",),
    "log_expit": ("negative", "softplus", "negative"),
    "psi": ("digamma",),
}
"""The ufuncs of scipy.special that we have, by their own names, as operators to be applied one after the other."""


def scipy_operators(ufunc: np.ufunc) -> tuple[str, ...] | None:
    """The operators that a ufunc of SciPy stands for; a ufunc of another's, of the same name, is not SciPy's.

    Who has such a ufunc has imported SciPy, so this need not.
    """
    name = ufunc.__name__
    module = sys.modules.get("scipy.special")
    return SCIPY.get(name) if module is not None and getattr(module, name, None) is ufunc else None
