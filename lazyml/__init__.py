"""lazyml: a compiler for machine learning on data larger than memory.

A loss, a gradient or any statistic is a NumPy-like formula over matrices that live in HDF5 files. Nothing is read
until a result is asked for; then the fewest passes over the data are planned, each is compiled to one tiled loop, and
pages of the file stream through it inside a fixed memory budget.
"""

from lazyml.array import Array
from lazyml.functions import (
    abs,
    absolute,
    compile,
    compute,
    exp,
    expm1,
    from_array,
    grad,
    log,
    log1p,
    logsumexp,
    maximum,
    mean,
    minimum,
    open,
    param,
    sigmoid,
    sign,
    softplus,
    sqrt,
    store,
    sum,
    tanh,
    where,
)
from lazyml.solvers.minimize import minimize
from lazyml.sources.inspect import inspect_file as inspect

__all__ = [
    "Array",
    "abs",
    "absolute",
    "compile",
    "compute",
    "exp",
    "expm1",
    "from_array",
    "grad",
    "inspect",
    "log",
    "log1p",
    "logsumexp",
    "maximum",
    "mean",
    "minimize",
    "minimum",
    "open",
    "param",
    "sigmoid",
    "sign",
    "softplus",
    "sqrt",
    "store",
    "sum",
    "tanh",
    "where",
]

__version__ = "0.1.0"
