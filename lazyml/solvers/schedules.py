"""How a learning rate changes: factors of it, as functions of the epochs done, which need not be a whole number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

from lazyml.errors import ParameterError
from lazyml.solvers.settings import check_settings


class Schedule(Protocol):
    """A frozen configuration; ``epochs`` is after how many it ends, None where it does not."""

    @property
    def epochs(self) -> float | None: ...
    def __call__(self, t: float) -> float: ...


@dataclass(frozen=True)
class Constant:
    """1.

    >>> Constant()(3.5)
    1.0
    """

    epochs: None = None

    def __call__(self, t: float) -> float:
        """The factor after t epochs."""
        return 1.0


@dataclass(frozen=True)
class InverseTime:
    """``(1 + decay t) ** -power``: with a power from 0.5 to 1 SGD goes to the minimum and not to its neighbourhood
    (Robbins and Monro, Ann. Math. Stat. 22 (1951) 400). A power of 0.5 and the mean of the iterates do so whatever the
    curvature (Moulines and Bach, NIPS 2011); with 1 the steps are soon too short for directions of little curvature.

    >>> InverseTime()(3.0), InverseTime(power=1)(3.0)
    (0.5, 0.25)
    """

    decay: float = 1.0
    power: float = 0.5
    epochs: None = None

    def __post_init__(self) -> None:
        check_settings(self)
        if not (self.decay >= 0 and 0 <= self.power <= 1):
            raise ParameterError("not a schedule", expected="decay >= 0 and a power from 0 to 1",
                                 found=f"{self.decay}, {self.power}")  # fmt: skip

    def __call__(self, t: float) -> float:
        """The factor after t epochs."""
        return float((1 + self.decay * t) ** -self.power)


@dataclass(frozen=True)
class Cosine:
    """``(1 + cos(pi t / epochs)) / 2``, after which the fit is over: one cycle from 1 to 0. With a ``warmup`` it begins
    with so many epochs in which it grows linearly to 1.

    Source: Loshchilov and Hutter, SGDR, ICLR 2017.

    >>> [round(Cosine(epochs=4)(t), 3) for t in (0, 1, 2, 4)], Cosine(epochs=4, warmup=2)(0.5)
    ([1.0, 0.854, 0.5, 0.0], 0.25)
    """

    epochs: float = 10
    warmup: float = 0.0

    def __post_init__(self) -> None:
        check_settings(self)
        if not 0 <= self.warmup < self.epochs:
            raise ParameterError("not a schedule", expected="epochs > warmup >= 0",
                                 found=f"epochs={self.epochs}, warmup={self.warmup}")  # fmt: skip

    def __call__(self, t: float) -> float:
        """The factor after t epochs."""
        if t < self.warmup:
            return t / self.warmup
        done = min(1.0, (t - self.warmup) / (self.epochs - self.warmup))
        return (1 + math.cos(math.pi * done)) / 2


SCHEDULES: dict[str, type[Constant | InverseTime | Cosine]] = {
    "constant": Constant,
    "invscaling": InverseTime,
    "cosine": Cosine,
}


def find_schedule(given: str | Mapping[str, Any] | Schedule) -> Schedule:
    """The schedule of that name, or the one that is given; a mapping, as of a model file, has a name and settings.

    >>> find_schedule({"name": "cosine", "epochs": 5})
    Cosine(epochs=5, warmup=0.0)
    """
    settings = dict(given) if isinstance(given, Mapping) else {"name": given}
    made = SCHEDULES.get(name) if isinstance(name := settings.pop("name", None), str) else None
    if made is not None:
        return _with(made, settings)
    if callable(given) and hasattr(given, "epochs"):
        return given
    raise ParameterError(f"unknown schedule {given!r}", expected=" or ".join(repr(name) for name in SCHEDULES),
                         fix="or a Constant, InverseTime or Cosine of lazyml.solvers")  # fmt: skip


def _with(made: type[Constant | InverseTime | Cosine], settings: Mapping[str, Any]) -> Schedule:
    known = {field.name for field in fields(made) if made is Cosine or field.name != "epochs"}
    if unknown := sorted(set(settings) - known):
        raise ParameterError(f"the schedule has no setting {unknown[0]!r}", expected=", ".join(sorted(known)) or "none",
                             found=", ".join(settings))  # fmt: skip
    return made(**settings)
