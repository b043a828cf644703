"""Stated and measured peaks in a few cases of the sweep: each a process of its own, over a file larger than its budget
or, where rows stay, as large as what stays."""

import sys
from pathlib import Path

import pytest

from lazyml.config import MIB

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="peaks are read from /proc")

ROOT = Path(__file__).parents[2]
SIZE = 40_000_000
CHOSEN = [
    ("contiguous", 24 * MIB, 1, True),
    ("gzip + shuffle", 24 * MIB, 1, True),
    ("gzip whole columns", 24 * MIB, 1, True),
    ("big-endian", 256 * MIB, 3, True),
    ("one-row chunks", 64 * MIB, 3, False),
    ("stacked gzip", 24 * MIB, 1, True),
    ("by the library", 64 * MIB, 2, True),
]


@pytest.mark.parametrize("chosen", CHOSEN, ids=lambda chosen: chosen[0])
def test_the_peak_is_what_was_stated(chosen, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import memory_sweep

    (case,) = (c for c in memory_sweep.cases() if (c.layout.name, c.memory, c.threads, c.pin) == chosen)
    (found,) = memory_sweep.sweep(tmp_path, SIZE, [case])
    assert memory_sweep.failures(found) == [], found
    assert found["stated"] >= 16 * MIB  # below, what Python itself takes would be a large part
    assert (found["pinned"] > 0) == case.pin
    assert memory_sweep.failures({**found, "above": found["stated"] + memory_sweep.ALLOWANCE + 1})
    assert memory_sweep.failures({**found, "above": found["stated"] / memory_sweep.FACTOR - 1})
    assert list(tmp_path.iterdir()) == []
