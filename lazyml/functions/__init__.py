"""The functions of the language, and what runs it. What NumPy has keeps NumPy's signature and meaning."""

from lazyml import array
from lazyml.functions import (
    comparing,
    elementwise,
    exponentials,
    indexed,
    indexing,
    linalg,
    nan_reductions,
    random,
    reductions,
    registry,
    shapes,
    special,
    statistics,
)
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
from lazyml.functions.run import *
from lazyml.functions.shapes import *
from lazyml.functions.special import *
from lazyml.functions.statistics import *

PARTS = (
    elementwise,
    special,
    reductions,
    nan_reductions,
    exponentials,
    indexed,
    shapes,
    statistics,
    comparing,
    linalg,
    random,
)
"""The modules whose functions make up formulas."""

LANGUAGE = {name: getattr(part, name) for part in PARTS for name in part.__all__}
"""What formulas are made of, by name: what a formula string may call, and NumPy's functions mean on an Array."""

array.METHODS.update({**registry.methods(LANGUAGE), "getitem": indexing.getitem})
array.ARRAY_FUNCTIONS.update(registry.numpy_functions(LANGUAGE))
