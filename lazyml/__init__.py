"""lazyml: a compiler for machine learning on data larger than memory.

A loss, a gradient or any statistic is a NumPy-like formula over matrices that live in HDF5 files. Nothing is read
until a result is asked for; then the fewest passes over the data are planned, each is compiled to one tiled loop, and
pages of the file stream through it inside a fixed memory budget.
"""

from lazyml import functions
from lazyml.array import Array
from lazyml.functions import *
from lazyml.solvers.minimize import minimize
from lazyml.sources.inspect import inspect_file as inspect

__all__ = ["Array", "inspect", "minimize"]
__all__ += functions.__all__

__version__ = "0.1.0"
