"""Passes that evaluate one loss at a point of each of several columns: ``X @ W`` for all of them is one product.

A column is a fit: values of the settings, and the fold that is held out. One pass gives for every column the loss on
the rows it trains on, the gradient, and the loss on the rows it holds out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lazyml.array import Array
from lazyml.errors import BudgetError
from lazyml.expr import build as b
from lazyml.expr.batch import along
from lazyml.expr.grad import gradient
from lazyml.expr.node import Node
from lazyml.functions import compile
from lazyml.solvers.objective import Answer, Params, whole
from lazyml.solvers.partition import NONE_HELD, Part, Partition, known_values
from lazyml.solvers.programs import Programs

_NARROWEST = 8  # columns, where there were as many: other products would be other kernels, and take seconds to compile
_STEP = 8  # widths of products are multiples of it, so that few programs are planned


@dataclass(frozen=True, eq=False)
class Column:
    """One fit: values of the settings by name, the fold that is held out, and which of the pilots it starts from."""

    settings: Mapping[str, float]
    held: int = NONE_HELD
    pilot: int = 0


@dataclass(frozen=True, eq=False)
class Formulas:
    """What is evaluated: the loss on the rows trained on, its data's part on those held out (None where nothing is),
    by these parameters and settings."""

    training: Part
    held_out: Part | None
    partition: Partition
    parameters: Sequence[Node]
    settings: Sequence[Node]

    @property
    def parts(self) -> list[Part]:
        return [self.training] if self.held_out is None else [self.training, self.held_out]

    @property
    def leaves(self) -> list[Node]:
        """All that differs between columns, the parameters first."""
        known = (leaf for part in self.parts for leaf in part.known)
        return [*self.parameters, *self.settings, self.partition.held, *known]


class ColumnPasses:
    """The passes of some columns; ``passes`` counts them. ``resources`` are ``memory`` and ``threads``."""

    def __init__(self, formulas: Formulas, columns: Sequence[Column], **resources: Any) -> None:
        self.formulas, self.columns, self.resources = formulas, columns, resources
        self.passes: float = 0
        self._known = known_values(formulas.parts, formulas.partition.held, [c.held for c in columns], **resources)
        self._held_out: list[dict[bytes, float]] = [{} for _ in columns]
        self._most = len(columns)
        self._programs: dict[int, Any] = {}

    def evaluate(self, asked: Sequence[tuple[int, Params]]) -> list[Answer]:
        """(value, gradients) for each (number of a column, point): one pass, or as many as the memory allowed asks."""
        answers: list[Answer] = []
        while len(answers) < len(asked):
            next_ones = asked[len(answers) : len(answers) + self._most]
            try:
                answers += self._together(next_ones)
            except BudgetError:
                if self._most == 1:
                    raise
                self._most = -(-self._most // 2)
        return answers

    def with_hessian(self, number: int, point: Params) -> tuple[float, Mapping[str, np.ndarray], Any]:
        """Value, gradients and Hessian of one column, in a pass of its own."""
        alone, column = self._alone, self.columns[number]
        alone.given.update(column.settings, held=column.held)
        alone.given.update({name: values[number] for name, values in self._known.items()})
        answer = alone.with_hessian(point)
        self.passes = whole(self.passes + alone.last_run.passes)
        return answer

    def held_out(self, points: Sequence[Params]) -> list[float]:
        """The loss of each column on the rows it holds out, at a point: a pass for those that none has been made at;
        nan where it holds out none."""
        if self.formulas.held_out is None:
            return [float("nan")] * len(points)
        seen = self._held_out
        unseen = [(k, point) for k, point in enumerate(points) if _bits(point) not in seen[k]]
        if unseen:
            self.evaluate(unseen)
        return [seen[k][_bits(point)] for k, point in enumerate(points)]

    def of_each(self, part: Part, points: Sequence[Params]) -> np.ndarray:
        """Another formula at one point of each column, in one pass."""
        formulas = self.formulas
        known = known_values([part], formulas.partition.held, [c.held for c in self.columns], **self.resources)
        leaves = [*formulas.parameters, *formulas.settings, formulas.partition.held, *part.known]
        (values,) = along([part.node], leaves, _stand_ins(leaves, len(points)))
        program: Any = compile(Array(values), pin=False, **self.resources)
        found = program(**self._arguments(program, known, range(len(points)), points))
        self.passes = whole(self.passes + program.last_run.passes)
        return np.asarray(found, dtype=np.float64)

    @cached_property
    def _alone(self) -> Programs:
        return Programs(self.formulas.training.node, self.formulas.parameters, **self.resources)

    def _together(self, asked: Sequence[tuple[int, Params]]) -> list[Answer]:
        """One pass. Narrow products are filled up with the last point again."""
        width = min(max(-(-len(asked) // _STEP) * _STEP, _NARROWEST), max(self._most, len(asked)))
        filled = [*asked, *[asked[-1]] * (width - len(asked))]
        numbers, points = zip(*filled, strict=True)
        program = self._program(width)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # the solvers see what is not finite
            values, *slopes = program(**self._arguments(program, self._known, numbers, points))
        self.passes = whole(self.passes + program.last_run.passes)
        if self.formulas.held_out is not None:
            for (number, point), held_out in zip(asked, slopes.pop(), strict=False):
                self._held_out[number][_bits(point)] = float(held_out)
        names = [str(p.arg) for p in self.formulas.parameters]
        return [(float(values[k]), {name: slope[k] for name, slope in zip(names, slopes, strict=True)})
                for k in range(len(asked))]  # fmt: skip

    def _program(self, width: int) -> Any:
        """Losses (width,), their gradients (width, *shape), and the losses held out (width,)."""
        if width not in self._programs:
            formulas = self.formulas
            stacked = _stand_ins(formulas.leaves, width)
            values, *more = along([part.node for part in formulas.parts], formulas.leaves, stacked)
            slopes = gradient(b.reduce("sum", values, [0]), stacked[: len(formulas.parameters)])
            self._programs[width] = compile([Array(node) for node in (values, *slopes, *more)], **self.resources)
        return self._programs[width]

    def _arguments(
        self, program: Any, known: Mapping[str, np.ndarray], numbers: Sequence[int], points: Sequence[Params]
    ) -> dict[str, Any]:
        """The arguments of a program, a line for each number of a column and its point."""
        formulas, chosen = self.formulas, [self.columns[k] for k in numbers]
        given: dict[str, Any] = {name: np.stack([point[name] for point in points]) for name in points[0]}
        for setting in formulas.settings:
            given[str(setting.arg)] = np.array([c.settings[str(setting.arg)] for c in chosen], dtype=setting.dtype)
        given["held"] = np.array([c.held for c in chosen], dtype=formulas.partition.held.dtype)
        given |= {name: values[list(numbers)] for name, values in known.items()}
        return {name: value for name, value in given.items() if name in program.parameters}


def _stand_ins(leaves: Sequence[Node], count: int) -> list[Node]:
    """Each leaf with one more axis, a line a column."""
    return [b.param(str(leaf.arg), (count, *leaf.shape), leaf.dtype) for leaf in leaves]


def _bits(point: Params) -> bytes:
    return b"".join(np.ascontiguousarray(value).tobytes() for value in point.values())
