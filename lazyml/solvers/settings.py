"""Settings of solvers of the types that they say."""

from __future__ import annotations

import dataclasses
import numbers
from typing import Any

from lazyml.errors import ParameterError

_TYPES: dict[str, tuple[type, str]] = {
    "int": (numbers.Integral, "a whole number"),
    "float": (numbers.Real, "a number"),
    "bool": (bool, "True or False"),
    "None": (type(None), "None"),
}


def check_settings(solver: Any) -> None:
    """A ParameterError for a setting of a solver that is of another type than it says."""
    for field in dataclasses.fields(solver):
        names, value = [part.strip() for part in str(field.type).split("|")], getattr(solver, field.name)
        if not set(names) <= set(_TYPES) or any(_is_of(value, name) for name in names):
            continue
        expected = " or ".join(_TYPES[name][1] for name in names)
        raise ParameterError(f"not a setting of {type(solver).__name__}", expected=f"{field.name}: {expected}",
                             found=f"{field.name}={value!r}"[:80])  # fmt: skip


def _is_of(value: Any, name: str) -> bool:
    return isinstance(value, _TYPES[name][0]) and (name == "bool" or not isinstance(value, bool))
