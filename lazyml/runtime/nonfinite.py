"""Find the first NaN or infinity in the data, so that an error can name its column and row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lazyml.runtime.staging import Staging
from lazyml.sources.protocol import Source

PAGE_ROWS = 8192


def first_nonfinite(sources: Sequence[Source]) -> str | None:
    """A sentence such as "features[17, 3] is nan" (counted from 0), or None. Reads each source at most once.

    >>> from lazyml.sources.memory import MemorySource
    >>> first_nonfinite([MemorySource(np.array([[1.0, 2.0], [3.0, np.nan]]), "x")])
    'x[1, 1] is nan'
    """
    for source in sources:
        if np.dtype(source.key.dtype).kind != "f":
            continue
        rows = source.key.shape[0]
        with Staging([source], PAGE_ROWS, 1, 0, rows) as staging:
            for first in range(0, rows, PAGE_ROWS):
                (page,) = staging.load(0, first, min(PAGE_ROWS, rows - first))
                bad = np.argwhere(~np.isfinite(page))
                if len(bad):
                    row, *column = (int(k) for k in bad[0])
                    column = [source.key.columns[k] for k in column] if source.key.columns else column
                    place = ", ".join(map(str, [first + row, *column]))
                    return f"{source.key.label}[{place}] is {page[tuple(bad[0])]}"
    return None
