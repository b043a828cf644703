"""Formulas as a graph of interned nodes: operators, shapes, derivatives and rewrites. Knows nothing of files."""

from lazyml.expr import ops as ops  # fills the operator table
