"""Hand-written Numba kernels of lazyml: they import numpy and numba only, and know nothing of expressions or files.

This module itself imports neither, so that `source_digest` costs no compiler start.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path


@cache
def source_digest() -> str:
    """SHA-256 over the names and contents of every source file of this package, in sorted order.

    Numba does not notice that a callee in another file changed; generated code that is cached on disk therefore
    carries this digest in its key. Read once per process.

    >>> len(source_digest())
    64
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()
