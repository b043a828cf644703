"""The functions of the language, and what runs it. What NumPy has keeps NumPy's signature and meaning."""

from lazyml.functions import calculus, elementwise, linalg, parameters, reductions, run
from lazyml.functions.calculus import *
from lazyml.functions.elementwise import *
from lazyml.functions.linalg import *
from lazyml.functions.parameters import *
from lazyml.functions.reductions import *
from lazyml.functions.run import *

LANGUAGE = [*elementwise.__all__, *linalg.__all__, *reductions.__all__]
"""What formulas are made of, by name: what a formula string may call."""

__all__ = ["LANGUAGE"]
__all__ += run.__all__
__all__ += parameters.__all__
__all__ += calculus.__all__
__all__ += elementwise.__all__
__all__ += linalg.__all__
__all__ += reductions.__all__
