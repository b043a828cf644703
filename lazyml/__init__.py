"""lazyml: a compiler for machine learning on data larger than memory.

A loss, a gradient or any statistic is a NumPy-like formula over matrices that live in HDF5 files. Nothing is read
until a result is asked for; then the fewest passes over the data are planned, each is compiled to one tiled loop, and
pages of the file stream through it inside a fixed memory budget.
"""

from lazyml import metrics as metrics
from lazyml.array import Array as Array
from lazyml.config import VERSION as __version__  # noqa: F401, N811
from lazyml.functions.calculus import *
from lazyml.functions.comparing import *
from lazyml.functions.elementwise import *
from lazyml.functions.exponentials import *
from lazyml.functions.indexed import *
from lazyml.functions.linalg import *
from lazyml.functions.nan_reductions import *
from lazyml.functions.parameters import *
from lazyml.functions.random import *
from lazyml.functions.reductions import *
from lazyml.functions.repack import *
from lazyml.functions.run import *
from lazyml.functions.shapes import *
from lazyml.functions.special import *
from lazyml.functions.statistics import *
from lazyml.functions.user_function import elementwise as elementwise
from lazyml.selection.select import select as select
from lazyml.solvers.early_stopping import EarlyStopping as EarlyStopping
from lazyml.solvers.minimize import minimize as minimize
from lazyml.sources.inspect import inspect_file

inspect = inspect_file
