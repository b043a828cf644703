"""Kernels of a test session are kept in a folder of its own, and every graph is verified between rewrites."""

import os
import shutil
import signal
import tempfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest


def pytest_configure(config):
    config.stash[FOLDER] = folder = tempfile.mkdtemp(prefix="lazyml-tests-")
    os.environ["LAZYML_CACHE_DIR"] = f"{folder}/cache"  # subprocesses of tests inherit it
    os.environ["LAZYML_VERIFY"] = "1"  # read when lazyml is imported, which comes later
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell's background job: tests of Ctrl-C would wait for it
        signal.signal(signal.SIGINT, signal.default_int_handler)

    from hypothesis import settings

    settings.register_profile("repeatable", derandomize=True, deadline=None, max_examples=60, database=None)
    settings.load_profile("repeatable")


def pytest_unconfigure(config):
    shutil.rmtree(config.stash[FOLDER], ignore_errors=True)


FOLDER = pytest.StashKey()


@pytest.fixture(autouse=True)
def usual_caches(monkeypatch):
    """Plans are those of a machine with 32 KiB and 1 MiB of cache, whichever this one is."""
    from lazyml import sizes
    from lazyml.machine import Caches

    monkeypatch.setattr(sizes, "caches", lambda: Caches(32 * 1024, 1024**2))
    sizes.forget()
    yield
    sizes.forget()


@pytest.fixture
def sizes(monkeypatch):
    """Change the engine's page, block and group sizes for one test: `sizes(page_bytes=4096)`.

    Where blocks are small, strips are as many rows as `strip_bytes` has, be it 3 or 7.
    """
    from lazyml import engine
    from lazyml.plan import blocks, tiles

    def change(**amounts):
        if "block_rows" in amounts:
            amounts.setdefault("strip_bytes", 500)
            monkeypatch.setattr(blocks, "STRIP_ROWS", (1, 1))
        monkeypatch.setattr(engine, "SETTINGS", replace(engine.SETTINGS, **amounts))
        if set(amounts) != {"pinned_share"}:
            monkeypatch.setattr(tiles, "MEMORY_PAGE_FACTOR", 1)

    return change


@pytest.fixture
def streamed(sizes):
    """Every pass reads its files: nothing of them stays in memory."""
    sizes(pinned_share=0)


@pytest.fixture
def rng():
    return np.random.default_rng(20240229)


@pytest.fixture
def h5(tmp_path):
    """Write arrays to an HDF5 file: `h5(x=..., y=...)` gives its path."""
    import h5py

    def write(chunks=None, **arrays):
        path = tmp_path / "data.h5"
        with h5py.File(path, "w") as file:
            for name, values in arrays.items():
                file.create_dataset(name, data=values, chunks=chunks)
        return str(path)

    return write


@pytest.fixture
def decoded(monkeypatch):
    """How often each chunk was decoded, by its stored bytes."""
    from lazyml.sources.filters import Pipeline

    count, real = Counter(), Pipeline.decode

    def counting(self, data, mask, out):
        count[bytes(data)] += 1
        return real(self, data, mask, out)

    monkeypatch.setattr(Pipeline, "decode", counting)
    return count
