"""Hand-written Numba kernels of lazyml: they import numpy and numba only, and know nothing of expressions or files."""
