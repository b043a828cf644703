"""A solver's state on disk: written aside and renamed into place, without pickle, with what it belongs to.

The file is a NumPy ``.npz`` (a zip with a CRC for each member): the arrays of the state, the history, and one JSON text
with the numbers and the fingerprint. Numbers go through ``repr`` and arrays through their bytes, so that a resumed run
continues with the very bits it stopped at. Beside the state it has what was finished of the passes since: see
``runtime.journal``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np

from lazyml.errors import CheckpointError, ParameterError
from lazyml.runtime.journal import CallRecord, Journal, PassRecord
from lazyml.solvers.journey import Journey, Row, Solver
from lazyml.solvers.objective import Counts, Objective, whole
from lazyml.solvers.outcome import Outcome

_VERSION = 2
EVERY = 30.0
"""Seconds between two saves, when not told otherwise."""
NO_SIZES: Mapping[str, int] = MappingProxyType({})
NOTHING: Mapping[str, str] = MappingProxyType({})
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError, AttributeError, RuntimeError, zipfile.BadZipFile)


class Checkpoint:
    """Where a run is kept, and how often.

    Parameters
    ----------
    path : str or path
        The file; resumed from when it exists.
    problem : mapping of str to str
        What identifies formula and data; a file with others is refused.
    every : float
        Seconds between two saves, at least; a long pass is saved on its way.
    journal : Journal, optional
        What the programs of the objective take down what they have finished in.
    sizes : mapping of str to int
        How the passes are cut, which decides about the last bits of their sums: kept beside the state (`sizes_of`).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        problem: Mapping[str, str] = NOTHING,
        every: float = EVERY,
        sizes: Mapping[str, int] = NO_SIZES,
        journal: Journal | None = None,
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int | float) or not every >= 0:
            raise ParameterError("not a time between two saves", expected="seconds, >= 0", found=repr(every))
        self.path, self.problem, self.sizes = Path(path), dict(problem), sizes
        self.journal = Journal() if journal is None else journal
        self.journal.every, self.journal.save = every, self.save
        self._belongs: dict[str, Any] = {}
        self._latest: Journey | None = None
        folder = self.path.absolute().parent
        if not folder.is_dir() or self.path.is_dir() or not os.access(folder, os.W_OK):
            raise CheckpointError(f"cannot keep a checkpoint at {str(path)!r}",
                                  expected="a file in a folder that exists and can be written",
                                  fix="create the folder, or name another file")  # fmt: skip

    def fingerprint(self, solver: Solver, objective: Objective) -> dict[str, Any]:
        """What must be equal for a state to go on: parameters, solver, formula and data."""
        parameters = {n: f"{objective.dtypes[n]} {list(shape)}" for n, shape in objective.shapes.items()}
        return {**self.problem, "parameters": parameters, "solver": repr(solver)}

    def reached(self, journey: Journey) -> None:
        """The run has come so far, and goes on from here: saved when it is time for that."""
        self._latest = journey
        self.journal.clear()
        self.journal.save_when_due()

    def rescue(self, error: BaseException) -> None:
        """Save while ``error`` ends the run, which a failing save must not hide."""
        try:
            self.save()
        except Exception as failed:
            error.add_note(f"the checkpoint {str(self.path)!r} could not be saved: {failed}")

    def save(self) -> None:
        """Replace the file by the latest state and what is finished since: all of it or nothing."""
        calls, arrays = encode_calls("calls", self.journal.calls())
        once, of_once = encode_calls("once", list(self.journal.once.values()))
        about = {"version": _VERSION, "fingerprint": self._belongs, "sizes": dict(self.sizes), "calls": calls,
                 "once": once}  # fmt: skip
        arrays |= of_once
        if self._latest is not None:
            fields, of_state = encode(self._latest.state)
            about |= {"state": fields, "counts": self._latest.counts._asdict()}
            arrays |= of_state
            arrays["history"] = np.array(self._latest.history, dtype=np.float64).reshape(-1, len(Row._fields))
            if self._latest.best is not None:
                arrays["best"] = self._latest.best
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

    def load(self, solver: Solver, objective: Objective) -> Journey | None:
        """The saved journey; None where there is no file, or the run ended before it had a state. ``objective`` counts
        on from its totals, and what was finished since is not made again.

        Raises a CheckpointError for a damaged file, and for one of another problem, saying what differs.
        """
        self._belongs = self.fingerprint(solver, objective)
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
        self._compare(self._belongs, found)
        try:
            calls, once = (decode_calls(part, about[part], arrays) for part in ("calls", "once"))
            if "state" in about:
                state = decode(solver.state, about["state"], arrays)
                history = tuple(_row(*values) for values in arrays["history"].tolist())
                self._latest = Journey(state, Counts(**about["counts"]), history, arrays.get("best"))
                objective.counts = self._latest.counts
        except _DAMAGE as error:
            self._refuse(error)
        self.journal.restore(calls, once)
        return self._latest

    def _refuse(self, error: Exception) -> NoReturn:
        raise CheckpointError(f"checkpoint {str(self.path)!r} is damaged", found=f"{type(error).__name__}: {error}",
                              fix="remove it to start fresh") from error  # fmt: skip

    def _compare(self, expected: dict[str, Any], found: dict[str, Any]) -> None:
        differs = [key for key in {**expected, **found} if found.get(key) != expected.get(key)]
        if differs:
            raise CheckpointError(
                f"checkpoint {str(self.path)!r} belongs to another run, of other {' and '.join(differs)}",
                expected="; ".join(f"{key} {_short(expected.get(key))}" for key in differs),
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


def is_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a checkpoint, of whatever run."""
    try:
        return "fingerprint" in _read(Path(path))[1]
    except _DAMAGE:
        return False


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


def encode_calls(part: str, calls: Sequence[CallRecord]) -> tuple[list[Any], dict[str, np.ndarray]]:
    """What is finished of calls, a part of the file, as what JSON holds and what only arrays hold."""
    entries: list[Any] = []
    arrays: dict[str, np.ndarray] = {}
    for call in calls:
        passes = []
        for index, record in call.passes.items():
            place = f"{part}/{len(entries)}/{index}"
            arrays |= {f"{place}/{at}": values for at, values in enumerate(record.arrays)}
            passes.append([index, record.cut, record.groups, record.over, record.bytes_read, len(record.arrays)])
        entries.append([call.key, passes])
    return entries, arrays


def decode_calls(part: str, entries: Sequence[Any], arrays: Mapping[str, np.ndarray]) -> list[CallRecord]:
    """The calls that ``encode_calls`` took apart."""
    calls = []
    for number, (key, passes) in enumerate(entries):
        calls.append(CallRecord(key))
        for index, cut, groups, over, read, count in passes:
            held = tuple(arrays[f"{part}/{number}/{index}/{at}"] for at in range(count))
            calls[-1].passes[index] = PassRecord(cut, groups, over, read, held)
    return calls
