"""What every estimator is to scikit-learn, without scikit-learn: parameters, tags, pickling, a state.

An estimator is a dataclass whose fields are its parameters; what a fit finds ends in an underscore.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any, ClassVar, Self

from lazyml.errors import ParameterError, UnfittedError
from lazyml.origins import warn as warn
from lazyml.solvers.registry import nearest


@dataclasses.dataclass(eq=False, repr=False, kw_only=True)
class Estimator:
    """Parameters by name, as ``clone``, ``Pipeline`` and ``GridSearchCV`` use them."""

    kind: ClassVar[str] = "regressor"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def set_params(self, **params: Any) -> Self:
        """Change parameters. Raises ParameterError for one that the estimator does not have."""
        known = {field.name for field in dataclasses.fields(self)}
        for name in params:
            if name not in known:
                raise ParameterError(f"{type(self).__name__} has no parameter {name!r}",
                                     expected=", ".join(sorted(known)), fix=nearest(name, known))  # fmt: skip
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        changed = (f for f in dataclasses.fields(self) if not _same(getattr(self, f.name), f.default))
        return f"{type(self).__name__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in changed)})"

    def __getstate__(self) -> dict[str, Any]:
        """All but the training data, which a pickle does not carry."""
        return {name: value for name, value in self.__dict__.items() if name != "_data"}

    def __sklearn_is_fitted__(self) -> bool:
        return "n_features_in_" in self.__dict__

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn asks for; only scikit-learn calls it."""
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags

        classifier = self.kind == "classifier"
        return Tags(
            estimator_type=self.kind,
            target_tags=TargetTags(required=True, positive_only=self._positive_target()),
            classifier_tags=ClassifierTags() if classifier else None,
            regressor_tags=None if classifier else RegressorTags(poor_score=self._poor_score()),
            input_tags=InputTags(),
        )

    def _positive_target(self) -> bool:
        return False

    def _poor_score(self) -> bool:
        return False

    def _check_fitted(self) -> None:
        """Raise unless ``fit`` was called: scikit-learn's error too, where scikit-learn is loaded."""
        if not self.__sklearn_is_fitted__():
            kind: type[UnfittedError] = UnfittedError
            if sklearn := sys.modules.get("sklearn.exceptions"):
                kind = type("UnfittedError", (UnfittedError, sklearn.NotFittedError), {})
            raise kind(f"this {type(self).__name__} is not fitted yet", fix="call fit(X, y) first")


def _same(value: Any, default: Any) -> bool:
    return value is default or (
        type(value) is type(default) and isinstance(value, (int, float, str)) and value == default
    )
