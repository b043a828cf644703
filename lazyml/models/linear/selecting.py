"""What linear models say of themselves for model selection, and ``lz.select`` for them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import lazyml as lz
from lazyml.models.linear import checking
from lazyml.models.linear.crossvalidation import Crossed, Outcome, Settings, Task, by_columns, one_by_one
from lazyml.models.linear.model import Data, LinearModel
from lazyml.models.linear.scoring import is_larger_better, label_of
from lazyml.selection.folds import find_folds
from lazyml.selection.grid import points
from lazyml.selection.table import Selection, candidate, chosen

PENALTIES = ("alpha", "C", "l1_ratio")
"""Parameters that change the penalty and nothing else."""


class CrossValidated(LinearModel):
    """A linear model that knows how its fits share passes."""

    _default_score: ClassVar[str | None] = None
    _label: ClassVar[str] = "loss held out"
    _common_score: ClassVar[str] = "r2"  # where candidates have losses of their own, which are not comparable
    _engine: ClassVar[Callable[[Task], Outcome]] = by_columns

    @abstractmethod
    def _fit_to(self, data: Data) -> Self:
        """Fit to data that were checked."""

    @abstractmethod
    def _take(self, X: Any, y: Any, sample_weight: Any, offset: Any) -> Data:
        """The data of a fit, checked."""

    def _outputs(self) -> int:
        """Margins of a row."""
        return 1

    @abstractmethod
    def _margins_loss(self) -> Any:
        """The loss of a row, loss(z, y), of one margin or a list of them."""

    def with_settings(self, settings: Settings) -> Any:
        """A new estimator with some of its parameters changed; the classes that it has seen are remembered."""
        made = type(self)(**self.get_params()).set_params(**settings)
        made.__dict__ |= {name: value for name, value in self.__dict__.items() if name == "classes_"}
        return made

    def _task(
        self, settings: Sequence[Settings], X: Any, y: Any, *, cv: Any, sample_weight: Any = None, groups: Any = None,
        seed: int = 0, score: Any = None,
    ) -> Task:  # fmt: skip
        """The data of a fit, the folds that ``cv`` means, and candidates."""
        data = self._take(X, y, sample_weight, None)
        in_memory = data.features.in_memory and not isinstance(y, (lz.Array, str))
        folds = find_folds(
            checking.column(cv, data.features.rows, "cv") if isinstance(cv, str) else cv, data.y,
            y=checking.in_memory_column(y, "y", as_numbers=False) if in_memory else None,
            X=X if in_memory else None, groups=groups, stratify=self.kind == "classifier", seed=seed,
            **self._resources,
        )  # fmt: skip
        return Task(self, data, folds, settings, score)

    def _crossed(self, task: Task) -> Outcome:
        engine = one_by_one if self.bounds is not None else type(self)._engine
        return engine(task)

    def _select(
        self, grid: Any, X: Any, y: Any, *, cv: Any, score: Any, larger_is_better: bool | None, rule: str,
        sample_weight: Any, groups: Any, refit: bool, seed: int, memory: Any, threads: Any,
    ) -> Selection:  # fmt: skip
        """``lz.select``; see there."""
        given = {name: value for name, value in (("memory", memory), ("threads", threads)) if value is not None}
        base, settings = self.with_settings(given), points(grid)
        for point in settings:
            base.with_settings(point)  # which names what is unknown
        alike: dict[str, list[int]] = {}
        for number, point in enumerate(settings):
            others = {name: value for name, value in sorted(point.items()) if name not in PENALTIES}
            alike.setdefault(repr(others), []).append(number)
        score = score or self._default_score or (self._common_score if len(alike) > 1 else None)
        crossed: dict[int, Crossed] = {}
        passes, notes = 0.0, list[str]()
        for numbers in alike.values():
            model = base.with_settings(settings[numbers[0]])
            task = model._task([settings[k] for k in numbers], X, y, cv=cv, sample_weight=sample_weight, groups=groups,
                               seed=seed, score=score)  # fmt: skip
            found, taken, note = model._crossed(task)
            crossed |= dict(zip(numbers, found, strict=True))
            passes, notes = passes + taken, [*notes, note]
        ordered = [crossed[k] for k in range(len(settings))]
        table = tuple(candidate(point, one.scores, one.passes, one.converged)
                      for point, one in zip(settings, ordered, strict=True))  # fmt: skip
        better = is_larger_better(score, larger_is_better)
        fitted = None
        if refit:
            fitted = base.with_settings(table[chosen(table, rule, better)].settings).fit(X, y, sample_weight)
            passes += fitted.n_passes_
        fits = tuple({"coef": one.coefficients, "intercept": one.intercepts} for one in ordered)
        label = label_of(score, self._label)
        about = "" if len(alike) == 1 else f"{len(alike)} losses, the fits of each in shared passes; of the first: "
        return Selection(table, label, better, rule, passes, about + notes[0], fits, fitted)
