"""Model selection: settings by how well they do on rows that were held out, all fits in shared passes where they can.

``folds`` says which row is held out when, ``grid`` what the candidates are, ``losses`` and ``others`` fit them,
``table`` is what is found, and ``select`` is ``lz.select``. The fits themselves are ``solvers.columns``.
"""

from lazyml.selection.folds import Folds, find_folds
from lazyml.selection.select import select
from lazyml.selection.table import Candidate, Selection

__all__ = ["Candidate", "Folds", "Selection", "find_folds", "select"]
