"""One script a claim: `python -m benchmarks.gradient`, `.startup`, `.memory`, `.staging`, `.kernels`.

Each prints a table, and with --json one JSON object as its last line.
"""

import os

# A forced core type would make NumPy's products slow, and so every ratio flattering. It is read when NumPy is imported.
os.environ.pop("OPENBLAS_CORETYPE", None)
