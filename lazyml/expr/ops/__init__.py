"""The operator table: one row per operator, every cell filled, a family a file. Adding an operator is adding a row."""

from lazyml.expr.ops import elementwise as elementwise
from lazyml.expr.ops import indexed as indexed
from lazyml.expr.ops import layout as layout
from lazyml.expr.ops import leaves as leaves
from lazyml.expr.ops import linalg as linalg
from lazyml.expr.ops import lines as lines
from lazyml.expr.ops import products as products
from lazyml.expr.ops import random as random
from lazyml.expr.ops import reductions as reductions
from lazyml.expr.ops import special as special
from lazyml.expr.ops import terms as terms
from lazyml.expr.ops import user as user
