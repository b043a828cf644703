"""Early stopping: some rows are held out of the training loss, and a fit ends when the loss on them no longer falls.

    training loss   =  the loss as the other rows estimate it: a mean over them, penalties as they are
    held-out loss   =  the loss as these rows estimate it, without what depends on parameters alone

Both are formulas, so that the held-out loss comes from the pass that gives value and gradient, whatever the solver.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lazyml.array import Array
from lazyml.errors import DtypeError, EmptyDataError, ParameterError, ShapeError
from lazyml.expr import build as b
from lazyml.expr.node import ChosenRows, Node, apply
from lazyml.expr.show import formula
from lazyml.functions import compute
from lazyml.functions.elementwise import where
from lazyml.functions.random import random_uniform
from lazyml.solvers.settings import check_settings
from lazyml.solvers.structure import SUMS, find_structure, is_total, row_leaves

HELD_OUT_STREAM = 2**62
"""Of the numbers that choose the rows."""


@dataclass(frozen=True, eq=False)
class EarlyStopping:
    """When a fit ends early, and what is held out for that.

    Parameters
    ----------
    fraction : float
        Each row is held out with this probability, by a hash of its number and ``seed``.
    rows : Array (n,) of bool, optional
        Instead: which rows are held out, as ``lz.fold(y, 5) == 0``.
    formula : scalar Array, optional
        Instead: what is to fall, of the same parameters; the loss is trained on as it is. It may read other data, as a
        file for validation, which are passes of their own.
    patience : int
        The fit ends when so many iterations (epochs, for minibatches) in a row brought no fall.
    min_delta : float
        A fall is one by more than this.
    restore_best : bool
        Whether the parameters of the iteration with the least held-out loss are the result, and not the last.
    seed : int

    >>> import lazyml as lz
    >>> lz.EarlyStopping(0.2, patience=3)
    EarlyStopping(fraction=0.2, rows=None, formula=None, patience=3, min_delta=0.0, restore_best=True, seed=0)
    """

    fraction: float = 0.1
    rows: Array | None = None
    formula: Array | None = None
    patience: int = 5
    min_delta: float = 0.0
    restore_best: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(self)
        if not (0 < self.fraction < 1 and self.patience >= 1 and self.min_delta >= 0):
            raise ParameterError("not a rule for stopping early", found=self,
                                 expected="fraction within 0 and 1, patience >= 1, min_delta >= 0")  # fmt: skip
        if self.rows is not None and self.formula is not None:
            raise ParameterError("rows are held out, or a formula is given", expected="one of them", found="both")

    @property
    def rule(self) -> str:
        """When a fit stops, as text: the formulas say what is held out."""
        return f"patience {self.patience} min_delta {self.min_delta}"

    def split(self, loss: Node, parameters: Sequence[Node], **resources: Any) -> tuple[Node, Node]:
        """The loss to train on, and what is to fall. ``resources`` are those of ``lz.compute``."""
        if self.formula is not None:
            return loss, self._checked_formula(parameters)
        structure = find_structure(loss, parameters)
        if not structure.separates:
            raise ParameterError(f"no rows can be held out of this loss: {structure.why}", formula=formula(loss),
                                 expected="a sum or mean over rows and what depends on parameters alone",
                                 fix="give EarlyStopping(formula=...) and train on the other rows")  # fmt: skip
        held = self._mask(loss)
        rows = b.cast(b.row_count(held.node.shape[0]), np.float64)
        count = b.reduce("sum", b.cast(held.node, np.float64), [0])
        if self.rows is None:  # which reads no data: not a pass
            count = b.const(_some(float(compute(Array(count), **resources)), held.node.shape[0]))

        def on(keep: Array, kept: Node) -> Node:
            return structure.with_outer(_restricted(keep, b.divide(rows, kept)))

        return on(~held, b.subtract(rows, count)), b.subtract(on(held, count), structure.rest)

    def _mask(self, loss: Node) -> Array:
        like, *others = row_leaves(loss)
        if any(other.shape[0] != like.shape[0] for other in others):
            counts = sorted({int(leaf.shape[0]) for leaf in (like, *others)})
            raise ParameterError("no rows can be held out of data with different numbers of rows",
                                 formula=formula(loss), expected="one number of rows", found=f"{counts}",
                                 fix="give EarlyStopping(formula=...) and train on the other rows")  # fmt: skip
        if self.rows is None:
            drawn: Array = random_uniform(Array(like), self.seed, HELD_OUT_STREAM)
            return drawn < self.fraction
        if not isinstance(self.rows, Array) or self.rows.dtype != np.bool_:
            raise DtypeError("rows to hold out are told by True and False", expected="an Array of bool",
                             found=getattr(self.rows, "dtype", type(self.rows).__name__),
                             fix="rows=lz.fold(y, 5) == 0")  # fmt: skip
        if self.rows.node.shape != like.shape[:1]:
            raise ShapeError("not one truth value for each row", expected=f"({like.shape[0]},)",
                             found=self.rows.shape)  # fmt: skip
        return self.rows

    def _checked_formula(self, parameters: Sequence[Node]) -> Node:
        assert self.formula is not None
        known = {p.arg for p in parameters}
        if tuple(self.formula.shape) != () or any(p.name not in known for p in self.formula.parameters()):
            raise ParameterError("not a formula to watch", expected=f"a scalar of {', '.join(sorted(known))}",
                                 found=formula(self.formula.node), where=self.formula.where)  # fmt: skip
        return self.formula.node


def _some(held: float, rows: int) -> float:
    """How many rows are held out, which is neither none nor all."""
    if not 0 < held < rows:
        raise EmptyDataError("there are too few rows to hold some out", found=f"{held:.0f} of {int(rows)}",
                             expected="some rows to train on, and some to hold out")  # fmt: skip
    return held


def _restricted(keep: Array, scale: Node) -> Callable[[Node, tuple[Node, ...]], Node]:
    """What makes of every sum over rows one over those that are kept, ``scale`` times as large."""

    def renew(node: Node, src: tuple[Node, ...]) -> Node:
        if not (is_total(node) and node.op in SUMS):
            return apply(node.op, *src, arg=node.arg) if src != node.src else node
        # Rows of one factor are enough; of a sum by groups, the first is what is summed.
        at = 0 if node.op == "segment_sum" else len(src) - 1
        changed = [_kept(one, keep) if k == at else one for k, one in enumerate(src)]
        return b.multiply(scale, apply(node.op, *changed, arg=node.arg))

    return renew


def _kept(value: Node, keep: Array) -> Node:
    """A row value with zeros in the rows that are not kept."""
    assert value.row_axis is not None
    size, axis = value.shape[value.row_axis], value.row_axis
    rows: Any = Array(apply("choose_rows", keep.node, size.mask)) if isinstance(size, ChosenRows) else keep
    if len(value.shape) == 2:
        rows = rows[:, None] if axis == 0 else rows[None, :]
    kept: Array = where(rows, Array(value), Array(b.const(0, value.dtype)))
    return kept.node


def rule_of(given: Any) -> EarlyStopping | None:
    """What ``lz.minimize`` was given: a rule, or the fraction of the rows that are held out. Raises ParameterError for
    anything else.

    >>> rule_of(0.1).fraction, rule_of(None)
    (0.1, None)
    """
    if given is None or isinstance(given, EarlyStopping):
        return given
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ParameterError("not a rule for early stopping", expected="lz.EarlyStopping(...), or a fraction",
                             found=repr(given)[:80])  # fmt: skip
    return EarlyStopping(float(given))
