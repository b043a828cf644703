"""Nothing may be left behind: descriptors, threads and files beside the copy are counted around every test."""

import threading
from pathlib import Path

import pytest


def descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path):
    before, threads = descriptors(), threading.active_count()
    yield
    assert descriptors() <= before
    assert threading.active_count() <= threads
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
