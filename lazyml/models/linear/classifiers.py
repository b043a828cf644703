"""Classifiers: logistic regression and linear support vector machines."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import numpy as np

import lazyml as lz
from lazyml.errors import DataError, DtypeError, ParameterError
from lazyml.models.linear import checking
from lazyml.models.linear.families import LINKS, Family, Link, binomial
from lazyml.models.linear.inference import Inference, Inferring
from lazyml.models.linear.model import Data, Penalty
from lazyml.models.linear.multinomial import infer_classes
from lazyml.models.linear.regressors import inverse_strength, share
from lazyml.models.linear.selecting import CrossValidated


class Classifier(CrossValidated, ABC):
    """A model of a class a row: margins (n,) for two classes, (n, k) for more."""

    kind: ClassVar[str] = "classifier"
    _common_score: ClassVar[str] = "accuracy"
    class_weight: Any

    @abstractmethod
    def _fit_classes(self, data: Data) -> None:
        """Set ``coef_`` and ``intercept_``; ``data.y`` is the number of each row's class, of all ``classes_``."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> Self:
        """Fit to X (n, d) and labels y (n,): arrays, lazy Arrays, or ``"file.h5:dataset"``.

        Labels in memory may be anything that sorts, in files whole numbers. A ``sample_weight`` of k counts as k rows;
        ``offset`` (n,) is added to the margin of two classes. Raises DataError for a single class and for labels that
        are none, ShapeError, DtypeError, ParameterError; warns with SeparationWarning and ConvergenceWarning.
        """
        return self._fit_to(self._take(X, y, sample_weight, offset))

    def _fit_to(self, data: Data) -> Self:
        self._fit_classes(data)
        self._remember(data)
        return self

    def _take(self, X: Any, y: Any, sample_weight: Any, offset: Any) -> Data:
        found = self._open(X, y)
        classes, index = checking.labels(y, found.rows, **self._resources)
        if offset is not None and len(classes) > 2:
            raise ParameterError("an offset is for two classes", expected="no offset", found=f"{len(classes)} classes")
        data = self._data_of(found, index, sample_weight, offset, checking.Domain())
        counts = self._class_sizes(data, classes)
        data = self._with_class_weights(data, classes, counts)
        self.classes_ = classes
        return data

    def _outputs(self) -> int:
        return 1 if len(self.classes_) == 2 else len(self.classes_)

    def _class_sizes(self, data: Data, classes: np.ndarray) -> np.ndarray:
        """The weight of each class. Raises DataError where only one has any."""
        weights = 1.0 if data.weights is None else data.weights
        rows = lz.ones_like(data.y, "float64") * weights
        sizes = np.asarray(lz.compute(lz.bincount(data.y, rows, minlength=len(classes)), **self._resources))
        if (sizes > 0).sum() < 2:
            raise DataError("there is only one class", expected="rows, with weights > 0, of two classes at least",
                            found=f"only {classes.tolist()[sizes.argmax()]!r}")  # fmt: skip
        return sizes

    def _with_class_weights(self, data: Data, classes: np.ndarray, sizes: np.ndarray) -> Data:
        """The data with weights times those of the classes."""
        chosen = self.class_weight
        if chosen is None:
            return data
        if isinstance(chosen, str):
            if chosen != "balanced":
                raise ParameterError("unknown class_weight", expected='"balanced" or a mapping', found=repr(chosen))
            table = sizes.sum() / (len(classes) * np.where(sizes > 0, sizes, 1.0))
        else:
            known = classes.tolist()
            if unknown := [label for label in chosen if label not in known]:
                raise ParameterError("class_weight has a class that y has not", expected=known, found=unknown[0])
            table = np.array([float(chosen.get(label, 1.0)) for label in known])
            if not (np.isfinite(table) & (table >= 0)).all():
                raise ParameterError("class weights are not all >= 0", found=chosen)
        rows = lz.take(table, data.y)
        total = float(sizes @ table)
        return dataclasses.replace(
            data,
            weights=rows if data.weights is None else data.weights * rows,
            total=total,
            mean_y=float(np.arange(len(table)) @ (sizes * table)) / total,
        )

    def decision_function(self, X: Any, offset: Any = None) -> Any:
        """The margins: (n,), positive for the second class, or (n, k); a formula for data that are not in memory."""
        return self._give(*self._margin(X, offset))

    def predict(self, X: Any, offset: Any = None) -> Any:
        """The most likely class of every row (n,); a formula for data that are not in memory."""
        z, in_memory = self._margin(X, offset)
        index = self._class_numbers(z)
        if in_memory:
            return self.classes_[self._give(index, True)]
        if self.classes_.dtype.kind not in "biuf":
            raise DtypeError("labels that are no numbers are not streamed", expected="a model of whole numbers",
                             found=f"classes {self.classes_.tolist()[:5]}",
                             fix="use decision_function or predict_proba, or number the classes")  # fmt: skip
        return lz.take(self.classes_, index)

    def _class_numbers(self, z: Any) -> Any:
        """The number of the most likely class of every row; of a row that is nan one beyond the last, which no table
        has."""
        number = (z > 0).astype("int64") if z.ndim == 1 else lz.argmax(z, axis=1)
        return lz.where(lz.isnan(z if z.ndim == 1 else lz.sum(z, axis=1)), len(self.classes_), number)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """The share of rows, by weight, whose class is predicted."""
        z, _ = self._margin(X)
        rows = int(z.shape[0])
        classes, index = checking.labels(y, rows, **self._resources)
        known = {label: number for number, label in enumerate(self.classes_.tolist())}
        place = np.array([known.get(label, -1) for label in classes.tolist()])
        predicted = self._class_numbers(z)
        right = lz.where(predicted < len(self.classes_), predicted == lz.take(place, index), np.nan)
        s: Any = lz.ones_like(right) if sample_weight is None else checking.column(sample_weight, rows, "sample_weight")
        good, total = lz.compute(lz.sum(s * right), lz.sum(s * lz.ones_like(right)), **self._resources)
        return float(good / total)


class Logistic(Classifier):
    """Probabilities of classes by the logistic function of the margins."""

    def predict_proba(self, X: Any, offset: Any = None) -> Any:
        """The probability of each class (n, k): the softmax of the margins, of (0, z) for two classes."""
        z, in_memory = self._margin(X, offset)
        if z.ndim == 1:
            return self._give(lz.stack([lz.sigmoid(-z), lz.sigmoid(z)], axis=1), in_memory)
        return self._give(lz.softmax(z, axis=1), in_memory)

    def predict_log_proba(self, X: Any, offset: Any = None) -> Any:
        """The logarithm of ``predict_proba``, without loss where probabilities are small."""
        z, in_memory = self._margin(X, offset)
        if z.ndim == 1:
            return self._give(lz.stack([-lz.softplus(z), -lz.softplus(-z)], axis=1), in_memory)
        return self._give(lz.log_softmax(z, axis=1), in_memory)


@dataclasses.dataclass(eq=False, repr=False)
class LogisticRegression(Logistic, Inferring):
    """Logistic regression of two classes, multinomial of more.

        minimise  C sum_i s_i (log(1 + exp(z_i)) - y_i z_i) + l1_ratio |w|_1 + (1 - l1_ratio) / 2 |w|^2
        minimise  C sum_i s_i (logsumexp(Z_i) - Z_i,y_i) + the same of W

    ``C`` is scikit-learn's, ``inf`` for no penalty, with which there are standard errors, deviance, AIC and
    ``summary()``. Multinomial intercepts sum to zero, and without a penalty coefficients, too. ``class_weight`` is a
    mapping from classes to weights, or "balanced": n / (k n_class).

    Classes that a hyperplane separates have no maximum of the likelihood: with ``C=inf`` a SeparationWarning says so.

    Fitted: ``classes_`` (k,), ``coef_`` (1, d) or (k, d), ``intercept_`` (1,) or (k,), ``n_iter_``, ``n_passes_``,
    ``result_``. Source: McCullagh and Nelder, 1989, chapters 4 and 5.

    >>> import numpy as np
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    >>> model = LogisticRegression(C=np.inf).fit(X, ["no", "no", "yes", "no", "yes", "yes"])
    >>> model.coef_.round(4).tolist(), model.predict([[1.0], [4.0]]).tolist()
    ([[1.214]], ['no', 'yes'])
    """

    C: float = dataclasses.field(default=1.0, kw_only=True)
    l1_ratio: float = dataclasses.field(default=0.0, kw_only=True)
    class_weight: Any = dataclasses.field(default=None, kw_only=True)
    cov_type: str = dataclasses.field(default="nonrobust", kw_only=True)

    def _family(self) -> tuple[Family, Link]:
        return binomial(), LINKS["logit"]

    def _penalty(self, data: Data) -> Penalty:
        share(l1_ratio=self.l1_ratio)
        strength = inverse_strength(self.C, data)
        return Penalty(l2=strength * (1 - self.l1_ratio), l1=strength * self.l1_ratio)

    def _fit_classes(self, data: Data) -> None:
        k = len(self.classes_)
        if k == 2:
            coef, intercept = self._minimise(data, binomial().by_margin["logit"])
            self.coef_, self.intercept_ = coef[None, :], np.reshape(intercept, 1)
            return
        coef, intercept = self._minimise(data, _multinomial(k), outputs=k)
        intercept = intercept - intercept.mean()
        if not self._penalty(data):
            coef = coef - coef.mean(axis=1, keepdims=True)
        self.coef_, self.intercept_ = coef.T.copy(), intercept

    def _margins_loss(self) -> Any:
        return binomial().by_margin["logit"] if len(self.classes_) == 2 else _multinomial_of_margins

    def _infer(self, covariance: str) -> Inference:
        k = len(self.classes_)
        if k == 2:
            return super()._infer(covariance)
        data = self._data_for_inference()
        intercept = np.asarray(self.intercept_) if self.fit_intercept else np.zeros(k)
        sizes = self._class_sizes(data, self.classes_)
        return infer_classes(data, self.coef_, intercept, sizes, self.fit_intercept, covariance, self._resources)


def _multinomial(k: int) -> Any:
    return lambda Z, y: lz.logsumexp(Z, axis=1) - lz.sum(Z * lz.one_hot(y, k), axis=1)


@dataclasses.dataclass(eq=False, repr=False)
class LinearSVC(Classifier):
    """A linear support vector machine with the squared hinge loss, one against the rest for more than two classes.

        minimise  C sum_i s_i max(0, 1 - y_i z_i)^2 + |w|^2 / 2,    y = -1, 1

    The intercept is not penalised, unlike liblinear's and scikit-learn's. ``class_weight`` as in
    ``LogisticRegression``. All classes are fitted in the same passes.
    Source: Fan et al., J. Mach. Learn. Res. 9 (2008) 1871.

    >>> import numpy as np
    >>> model = LinearSVC().fit(np.array([[0.0], [1.0], [3.0], [4.0]]), [0, 0, 1, 1])
    >>> model.coef_.round(4).tolist(), model.intercept_.round(4).tolist()
    ([[0.8]], [-1.6])
    """

    C: float = dataclasses.field(default=1.0, kw_only=True)
    class_weight: Any = dataclasses.field(default=None, kw_only=True)

    def _penalty(self, data: Data) -> Penalty:
        return Penalty(l2=inverse_strength(self.C, data))

    def _fit_classes(self, data: Data) -> None:
        k = len(self.classes_)
        if k == 2:
            coef, intercept = self._minimise(data, _squared_hinge)
            self.coef_, self.intercept_ = coef[None, :], np.reshape(intercept, 1)
            return
        coef, self.intercept_ = self._minimise(data, _one_against_the_rest(k), outputs=k)
        self.coef_ = coef.T.copy()

    def _margins_loss(self) -> Any:
        return _squared_hinge if len(self.classes_) == 2 else _squared_hinges


def _multinomial_of_margins(z: Any, y: Any) -> Any:
    """The same by a list of margins, each (n,)."""
    return lz.log(sum(lz.exp(column) for column in z)) - sum(
        lz.where(y == c, column, 0.0) for c, column in enumerate(z)
    )


def _squared_hinge(z: Any, y: Any) -> Any:
    return lz.maximum(0.0, 1 - (2 * y - 1) * z) ** 2


def _squared_hinges(z: Any, y: Any) -> Any:
    """Of a list of margins, each (n,), one against the rest."""
    return sum(_squared_hinge(column, y == c) for c, column in enumerate(z))


def _one_against_the_rest(k: int) -> Any:
    return lambda Z, y: lz.sum(lz.maximum(0.0, 1 - (2 * lz.one_hot(y, k) - 1) * Z) ** 2, axis=1)
