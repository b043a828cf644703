"""What is finished of the calls of programs, so that a run that was ended in the middle of a pass goes on from there.

A pass is finished group by group: the states of its groups' totals are all that was made of the rows behind it. A
journal has, for each call since it was last cleared, the totals of passes that are over, and of one that is not the
states of its first groups. Whoever keeps it in a file restores it, and makes the same calls in the same order: passes
that are over are not run then, and one that is not begins with the first group that is missing. Groups merge in a fixed
tree, so that the totals are the bits of a pass that was not ended.

Passes that make rows, as results or for later passes, are run anew: what is left of them is not in their totals. Those
that no parameter touches run in the first call only; the journal has them until its end, and so does a later process.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lazyml.plan.accumulate import Partial
from lazyml.plan.plan import Pass, Tiling

Values = NDArray[Any]


@dataclass(frozen=True, eq=False)
class PassRecord:
    """What is finished of a pass: its totals when it is over, before that the states of its first groups.

    ``cut`` says how it was cut into groups, and over which rows: states of other groups are of no use.
    """

    cut: str
    groups: int = 0
    over: bool = False
    bytes_read: int = 0
    arrays: tuple[Values, ...] = ()


@dataclass
class CallRecord:
    """The passes of one call by number; ``key`` identifies formulas, data, rows and the values of parameters."""

    key: str
    passes: dict[int, PassRecord] = field(default_factory=dict)


class PassJournal:
    """Takes down one pass while its workers finish its groups."""

    def __init__(self, call: CallJournal, a_pass: Pass, cut: str, groups: int) -> None:
        self.index = index = a_pass.index
        records = [passes[index] for passes in (call.record.passes, call.once) if index in passes]
        self.found = next((record for record in records if record.cut == cut), PassRecord(cut))
        """What an earlier process had finished of it."""
        self.of_another_call = self.found.over and index not in call.record.passes
        """Whether it was another call that made it: this one would not have run the pass."""
        self._call, self._finished, self._once = call, bytearray(groups), a_pass.once
        self._partials: Partial = ()
        self._read: Callable[[], int] = int

    def begin(self, partials: Partial) -> int:
        """Fill in the states of the groups that were finished before; the first group that is to be made."""
        first = min(self.found.groups, len(self._finished) - 1)
        for stack, states in zip(partials, self.found.arrays, strict=False):
            stack[:first] = states[:first]
        self._finished[:first] = b"\1" * first
        self._partials = partials
        return first

    def reading(self, bytes_read: Callable[[], int]) -> None:
        """The pass begins; how many bytes it has read so far is asked for when the journal is saved."""
        self._read, self._call.underway = bytes_read, self

    def group_over(self, group: int) -> None:
        """A worker has finished a group: the journal is saved when it is time for that."""
        self._finished[group] = 1
        self._call.journal.save_when_due()

    def so_far(self) -> PassRecord:
        """The groups before the first that is missing: their states do not change any more."""
        groups = self._finished.find(0)
        groups = len(self._finished) if groups < 0 else groups
        states = tuple(stack[:groups] for stack in self._partials)
        return PassRecord(self.found.cut, groups, False, self.found.bytes_read + self._read(), states)

    def over(self, totals: Sequence[Values]) -> PassRecord:
        """The pass is over."""
        read = self.found.bytes_read + self._read()
        record = PassRecord(self.found.cut, len(self._finished), True, read, tuple(totals))
        self._call.record.passes[self.index] = record
        if self._once:
            self._call.once[self.index] = record
        self._call.underway = None
        return record


class CallJournal:
    """Takes down one call; ``once`` are the passes that only the first call of a program runs."""

    def __init__(self, journal: Journal, record: CallRecord, once: dict[int, PassRecord]) -> None:
        self.journal, self.record, self.once = journal, record, once
        self.underway: PassJournal | None = None

    def of(self, a_pass: Pass, tiling: Tiling, span: range) -> PassJournal | None:
        """For one of its passes; None where that makes rows."""
        if a_pass.results or a_pass.makes or not a_pass.accumulators:
            return None
        cut = f"{span.start}:{span.stop} by {tiling.page_rows} {tiling.group_pages} {tiling.blocks}"
        return PassJournal(self, a_pass, cut, tiling.groups)

    def now(self) -> CallRecord:
        """With what is finished of a pass that is not over."""
        going = self.underway
        if going is None:
            return self.record
        return replace(self.record, passes=self.record.passes | {going.index: going.so_far()})


class Journal:
    """The calls of programs since `clear`, and when to save them: after ``every`` seconds, by ``save``.

    ``once`` has, for programs, the passes that only their first calls run.

    >>> import numpy as np, lazyml as lz
    >>> total = lz.compile(lz.sum(lz.from_array(np.arange(4.0)) ** lz.param("b")))
    >>> total.journal = first = Journal()
    >>> total(b=2.0), [call.passes[0].over for call in first.calls()]
    (np.float64(14.0), [True])
    >>> total.journal = Journal()
    >>> total.journal.restore(first.calls())
    >>> total(b=2.0), total.last_run.by_pass[0].seconds
    (np.float64(14.0), 0.0)
    """

    def __init__(self, every: float = float("inf"), save: Callable[[], None] | None = None) -> None:
        self.every, self.save = every, save
        self.saved = time.monotonic()
        self.once: dict[str, CallRecord] = {}
        self._calls: list[CallJournal] = []
        self._found: list[CallRecord] = []
        self._lock = threading.Lock()

    def call(
        self, fingerprints: Mapping[str, str], params: Mapping[Any, Values], spans: Sequence[range]
    ) -> CallJournal:
        """For a call that begins. What was restored counts as long as the same calls are made in the same order."""
        program, key = _key(fingerprints, {}, spans), _key(fingerprints, params, spans)
        if self._found and self._found[0].key == key:
            record = self._found.pop(0)
        else:
            self._found, record = [], CallRecord(key)
        once = self.once.setdefault(program, CallRecord(program))
        self._calls.append(CallJournal(self, record, once.passes))
        return self._calls[-1]

    def calls(self) -> list[CallRecord]:
        """What is finished, of calls in the order in which they were made; restored ones not yet made come last."""
        return [call.now() for call in self._calls] + self._found

    def restore(self, calls: Sequence[CallRecord], once: Sequence[CallRecord] = ()) -> None:
        """Go on from what an earlier process had finished: its `calls`, and the values of its `once`."""
        self._calls, self._found = [], list(calls)
        self.once = {record.key: record for record in once}

    def clear(self) -> None:
        """What was finished has become part of a state that is kept elsewhere."""
        self._calls, self._found = [], []

    def save_when_due(self) -> None:
        """Save, unless the last save is less than ``every`` seconds ago, or another worker does."""
        if self.save is None or time.monotonic() - self.saved < self.every or not self._lock.acquire(blocking=False):
            return
        try:
            self.save()
        finally:
            self.saved = time.monotonic()
            self._lock.release()


def _key(fingerprints: Mapping[str, str], params: Mapping[Any, Values], spans: Sequence[range]) -> str:
    """Identifies a call."""
    found = hashlib.sha256(f"{dict(fingerprints)} {spans}".encode())
    for name, value in sorted((node.arg, value) for node, value in params.items()):
        found.update(f"{name} {value.dtype} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    return found.hexdigest()
