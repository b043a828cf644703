"""A solver's state on disk: written aside and renamed into place, without pickle, with what it belongs to.

The file is a NumPy ``.npz`` (a zip with a CRC for each member): the arrays of the state, the history, and one JSON text
with the numbers and the fingerprint. Numbers go through ``repr`` and arrays through their bytes, so that a resumed run
continues with the very bits it stopped at.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

from lazyml.errors import CheckpointError
from lazyml.solvers.journey import Journey, Row, Solver
from lazyml.solvers.objective import Counts, Objective, whole
from lazyml.solvers.outcome import Outcome

_VERSION = 1
NO_SIZES: Mapping[str, int] = MappingProxyType({})
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError, zipfile.BadZipFile)


class Checkpoint:
    """Where a run is kept, and how often.

    Parameters
    ----------
    path : str or path
        The file; resumed from when it exists.
    problem : str
        Identifies formula and data; a file with another one is refused.
    every : float
        Seconds between two saves, at least.
    sizes : mapping of str to int
        How the passes are cut, which decides about the last bits of their sums: kept beside the state (`sizes_of`).
    """

    def __init__(
        self, path: str | os.PathLike[str], problem: str = "", every: float = 5.0, sizes: Mapping[str, int] = NO_SIZES
    ) -> None:
        self.path, self.problem, self.every, self.sizes = Path(path), problem, every, sizes
        self._saved = time.monotonic()
        folder = self.path.absolute().parent
        if not folder.is_dir() or self.path.is_dir() or not os.access(folder, os.W_OK):
            raise CheckpointError(f"cannot keep a checkpoint at {str(path)!r}",
                                  expected="a file in a folder that exists and can be written",
                                  fix="create the folder, or name another file")  # fmt: skip

    def fingerprint(self, solver: Solver, objective: Objective) -> dict[str, Any]:
        """What must be equal for a state to go on: parameters, solver, formula and data."""
        parameters = {n: f"{objective.dtypes[n]} {list(shape)}" for n, shape in objective.shapes.items()}
        return {"parameters": parameters, "solver": repr(solver), "problem": self.problem}

    def save_when_due(self, journey: Journey, solver: Solver, objective: Objective) -> None:
        """Save, unless the last save is less than ``every`` seconds ago."""
        if time.monotonic() - self._saved >= self.every:
            self.save(journey, solver, objective)

    def rescue(self, journey: Journey, solver: Solver, objective: Objective, error: BaseException) -> None:
        """Save while ``error`` ends the run, which a failing save must not hide."""
        try:
            self.save(journey, solver, objective)
        except Exception as failed:
            error.add_note(f"the checkpoint {str(self.path)!r} could not be saved: {failed}")

    def save(self, journey: Journey, solver: Solver, objective: Objective) -> None:
        """Replace the file by the state of ``journey``: all of it or nothing."""
        fields, arrays = encode(journey.state)
        about = {"version": _VERSION, "fingerprint": self.fingerprint(solver, objective), "state": fields,
                 "counts": journey.counts._asdict(), "sizes": dict(self.sizes)}  # fmt: skip
        arrays["history"] = np.array(journey.history, dtype=np.float64).reshape(-1, len(Row._fields))
        if journey.best is not None:
            arrays["best"] = journey.best
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        aside = self.path.with_name(self.path.name + ".partial")
        try:
            with aside.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self.path)
        finally:
            aside.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # makes the rename itself durable, where folders can be opened
            folder = os.open(self.path.absolute().parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        self._saved = time.monotonic()

    def load(self, solver: Solver, objective: Objective) -> Journey | None:
        """The saved journey, or None when there is no file; ``objective`` counts on from its totals.

        Raises a CheckpointError for a damaged file, and for one of another problem, saying what differs.
        """
        if not self.path.exists():
            return None
        try:
            arrays, about = _read(self.path)
            found, version = about["fingerprint"], about["version"]
        except _DAMAGE as error:
            self._refuse(error)
        if version != _VERSION:
            raise CheckpointError(f"checkpoint {str(self.path)!r} has another format", expected=f"version {_VERSION}",
                                  found=f"version {version}", fix="finish with the lazyml that began")  # fmt: skip
        self._compare(self.fingerprint(solver, objective), found)
        try:
            state = decode(solver.state, about["state"], arrays)
            history = tuple(_row(*values) for values in arrays["history"].tolist())
            counts = Counts(**about["counts"])
        except _DAMAGE as error:
            self._refuse(error)
        objective.counts = counts
        return Journey(state, counts, history, arrays.get("best"))

    def _refuse(self, error: Exception) -> NoReturn:
        raise CheckpointError(f"checkpoint {str(self.path)!r} is damaged", found=f"{type(error).__name__}: {error}",
                              fix="remove it to start fresh") from error  # fmt: skip

    def _compare(self, expected: dict[str, Any], found: dict[str, Any]) -> None:
        differs = [key for key in expected if found.get(key) != expected[key]]
        if differs:
            raise CheckpointError(
                f"checkpoint {str(self.path)!r} belongs to another run: {' and '.join(differs)} differ",
                expected="; ".join(f"{key} {_short(expected[key])}" for key in differs),
                found="; ".join(f"{key} {_short(found.get(key))}" for key in differs),
                fix="use another file, or remove this one to start fresh",
            )


def _row(value: float, gradient_norm: float, passes: float, seconds: float, held_out: float = math.nan) -> Row:
    """A row of a history, from numbers; nan where there is no held-out loss."""
    return Row(value, gradient_norm, whole(passes), seconds, None if math.isnan(held_out) else held_out)


def saved_sizes(path: str | os.PathLike[str]) -> dict[str, int]:
    """How the passes of the run were cut that a file belongs to; nothing where there is none, or it does not say, or is
    damaged, of which `Checkpoint.load` complains."""
    try:
        _, about = _read(Path(path))
        return {name: int(size) for name, size in about["sizes"].items()}
    except _DAMAGE:
        return {}


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays of a file, and what its JSON text says."""
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays, json.loads(arrays["about"].tobytes())


def _short(value: Any) -> str:
    text = ", ".join(f"{k}: {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
    return text if len(text) <= 200 else text[:197] + "..."


def encode(state: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A state as what JSON holds exactly and what only arrays hold."""
    fields: dict[str, Any] = {}
    arrays: dict[str, np.ndarray] = {}
    for field in dataclasses.fields(state):
        value = getattr(state, field.name)
        if isinstance(value, np.ndarray):
            fields[field.name] = {"array": True}
            arrays[f"state/{field.name}"] = value
        elif isinstance(value, tuple):
            fields[field.name] = {"arrays": len(value)}
            arrays |= {f"state/{field.name}/{i}": np.asarray(part) for i, part in enumerate(value)}
        elif isinstance(value, Outcome):
            fields[field.name] = {"outcome": value.name}
        else:
            fields[field.name] = {"plain": value}
    return fields, arrays


def decode(kind: type, fields: dict[str, Any], arrays: dict[str, np.ndarray]) -> Any:
    """The state that ``encode`` took apart."""
    values: dict[str, Any] = {}
    for name, entry in fields.items():
        if "array" in entry:
            values[name] = arrays[f"state/{name}"]
        elif "arrays" in entry:
            values[name] = tuple(arrays[f"state/{name}/{i}"] for i in range(entry["arrays"]))
        elif "outcome" in entry:
            values[name] = Outcome[entry["outcome"]]
        else:
            values[name] = entry["plain"]
    return kind(**values)
