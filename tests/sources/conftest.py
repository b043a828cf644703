"""Nothing may be left behind: descriptors and threads are counted around every test of this folder."""

import threading

import pytest
from source_scanning import open_descriptors


@pytest.fixture(autouse=True)
def nothing_left_behind():
    descriptors, threads = open_descriptors(), threading.active_count()
    yield
    assert open_descriptors() <= descriptors
    assert threading.active_count() <= threads
