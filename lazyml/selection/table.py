"""What a search found: a table of settings and scores, the best of them, and the one-standard-error rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from lazyml.errors import DataError, ParameterError

RULES = ("min", "1se")
STRONGER_WHEN_SMALLER = ("C",)
"""Names whose small values are the strong penalties; of all others it is the large ones."""


class Candidate(NamedTuple):
    """One row of the table: the settings; mean and standard error of the scores, and the score of each fold held out;
    passes that the fits took part in; whether all of them converged."""

    settings: Mapping[str, Any]
    mean: float
    std_error: float
    scores: tuple[float, ...]
    passes: float
    converged: bool


@dataclass(frozen=True, eq=False, repr=False)
class Selection:
    """A table of settings and how well they did where they were held out.

    Attributes
    ----------
    table : tuple of Candidate
        In the order of the grid: ``settings``, ``mean``, ``std_error``, ``scores`` a fold, ``passes``, ``converged``.
    score : str
        What is compared, and ``larger_is_better`` which way.
    rule : "min" or "1se"
        How ``best`` is chosen: the best mean, or the strongest penalty, of those with the best one's other settings,
        within one standard error of it (Breiman et al., Classification and Regression Trees, 1984, section 3.4.3).
    n_passes : float
        Over the data, for all of it.
    note : str
        What shared passes and what did not.
    fits : tuple
        What each candidate's fits found: of a loss a Result for each fold, of an estimator ``coef`` and ``intercept``,
        a list of one for each fold.
    model : Result or estimator
        Of the best settings on all rows, where ``refit`` asked for it.

    >>> means = {1.0: 0.51, 0.1: 0.5, 0.0: 0.6}
    >>> rows = tuple(Candidate({"l2": l2}, mean, 0.02, (mean,), 4, True) for l2, mean in means.items())
    >>> found = Selection(rows, "log loss")
    >>> found.best, found.choose("1se")
    ({'l2': 0.1}, {'l2': 1.0})
    """

    table: tuple[Candidate, ...]
    score: str
    larger_is_better: bool = False
    rule: str = "min"
    n_passes: float = 0
    note: str = ""
    fits: tuple[Any, ...] = field(default=(), repr=False)
    model: Any = None

    @property
    def best_index(self) -> int:
        """The row of ``table`` that ``rule`` chooses."""
        return self.index(self.rule)

    @property
    def best(self) -> dict[str, Any]:
        """The settings that ``rule`` chooses."""
        return self.choose(self.rule)

    @property
    def best_score(self) -> float:
        """Their mean score."""
        return self.table[self.best_index].mean

    def choose(self, rule: str) -> dict[str, Any]:
        """The settings by a rule, "min" or "1se"."""
        return dict(self.table[self.index(rule)].settings)

    def index(self, rule: str) -> int:
        """The row by a rule. Raises ParameterError for one that is none, DataError where no score is finite."""
        return chosen(self.table, rule, self.larger_is_better)

    def __repr__(self) -> str:
        names = list(self.table[0].settings) if self.table else []
        head = [*names, self.score, "std error", "passes", ""]
        best = self.best_index if any(np.isfinite(row.mean) for row in self.table) else -1
        lines = [[*(_shown(row.settings[name]) for name in names), f"{row.mean:.6g}", f"{row.std_error:.2g}",
                  f"{row.passes:.3g}", ("<- best" if k == best else "") + ("" if row.converged else " not converged")]
                 for k, row in enumerate(self.table)]  # fmt: skip
        widths = [max(len(line[k]) for line in [head, *lines]) for k in range(len(head))]
        rows = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
                for line in [head, *lines]]  # fmt: skip
        folds = len(self.table[0].scores) if self.table else 0
        title = f"Selection of {len(self.table)} candidates in {folds} folds, {self.n_passes:.4g} passes"
        return "\n".join([title, *rows, *([self.note] if self.note else [])])

    def plot(self, ax: Any = None) -> Any:
        """Mean scores with their standard errors against the first setting that is a number and varies; one line for
        each value of the others. Gives the axes. Needs matplotlib."""
        from matplotlib import pyplot as plt

        if ax is None:
            _, ax = plt.subplots()
        name = _axis(self.table)
        others: dict[tuple[Any, ...], list[Candidate]] = {}
        for row in self.table:
            key = tuple((k, _shown(v)) for k, v in row.settings.items() if k != name)
            others.setdefault(key, []).append(row)
        for key, rows in others.items():
            ordered = sorted(rows, key=lambda row: row.settings[name])
            ax.errorbar([row.settings[name] for row in ordered], [row.mean for row in ordered],
                        [row.std_error for row in ordered], marker="o", capsize=2,
                        label=", ".join(f"{k}={v}" for k, v in key) or None)  # fmt: skip
        values = [row.settings[name] for row in self.table]
        if min(values) > 0 and max(values) > 30 * min(values):
            ax.set_xscale("log")
        ax.axvline(self.best[name], linestyle=":", color="grey")
        ax.set_xlabel(name)
        ax.set_ylabel(self.score)
        if len(others) > 1:
            ax.legend()
        return ax


def candidate(settings: Mapping[str, Any], scores: Sequence[float], passes: float, converged: bool) -> Candidate:
    """A row of the table from the scores of its folds; the standard error is that of their mean."""
    values = np.asarray(scores, dtype=np.float64)
    error = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")
    mean = float(values.mean()) if len(values) else float("nan")
    return Candidate(dict(settings), mean, error, tuple(values.tolist()), passes, converged)


def chosen(table: Sequence[Candidate], rule: str, larger_is_better: bool = False) -> int:
    """The row that a rule chooses; see ``Selection``."""
    check_rule(rule)
    means = np.array([row.mean for row in table]) * (-1 if larger_is_better else 1)
    if not np.isfinite(means).any():
        raise DataError("no candidate has a score", expected="a finite score in every fold",
                        found="nan for all of them")  # fmt: skip
    best = int(np.nanargmin(means))
    if rule == "min" or not np.isfinite(table[best].std_error):
        return best
    name = _axis(table)
    if not _is_number(table[best].settings[name]):
        return best
    alike = [k for k, row in enumerate(table) if means[k] <= means[best] + table[best].std_error
             and all(row.settings[n] == v for n, v in table[best].settings.items() if n != name)]  # fmt: skip
    sign = 1 if name in STRONGER_WHEN_SMALLER else -1
    return min(alike, key=lambda k: sign * table[k].settings[name])


def check_rule(rule: str) -> None:
    """Raise ParameterError for a rule that is none."""
    if rule not in RULES:
        raise ParameterError(f"there is no rule {rule!r}", expected='"min" or "1se"', found=repr(rule))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float, np.number))


def _axis(table: Sequence[Candidate]) -> str:
    """The first setting that is a number and varies, else the first."""
    names = list(table[0].settings)
    for name in names:
        values = [row.settings[name] for row in table]
        if all(map(_is_number, values)) and len(set(values)) > 1:
            return name
    return names[0]


def _shown(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, (float, np.floating)) else str(value)
