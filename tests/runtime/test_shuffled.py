import h5py
import numpy as np
import pytest

from lazyml.errors import BudgetError, FileChangedError
from lazyml.runtime.shuffled import LEAST_BUFFER, Layout, Shuffled, choose_layout
from lazyml.sources.memory import MemorySource
from lazyml.sources.opening import open_source

ROWS = 1003
LAYOUT = Layout(ROWS, 20, 8)
X = np.random.default_rng(0).standard_normal((ROWS, 3))


def rows_of(sources, threads=2, epoch=1, seed=0):
    """All that an epoch gives, copied: for each source and then the numbers of rows."""
    shuffled = Shuffled(sources, LAYOUT, threads, numbered=True)
    parts = [[array[:rows].copy() for array in shuffled.slots[slot]] for slot, rows in shuffled.buffers(seed, epoch)]
    return [np.concatenate(part) for part in zip(*parts, strict=True)], [len(part[0]) for part in parts], shuffled


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("shuffled") / "data.h5"
    with h5py.File(path, "w") as file:
        file["X"], file["y"] = X, X[:, 0]
        file.create_dataset("packed", data=X, chunks=(20, 3), compression="gzip", shuffle=True)
    return path


def test_every_row_comes_once_an_epoch_in_another_order():
    sources = [MemorySource(X, "X"), MemorySource(X[:, 0].copy(), "y")]
    orders = []
    for epoch in (1, 2):
        (x, y, numbers), _, _ = rows_of(sources, epoch=epoch)
        assert sorted(numbers) == list(range(ROWS))
        np.testing.assert_array_equal(x, X[numbers])
        np.testing.assert_array_equal(y, X[numbers, 0])
        orders.append(numbers.tolist())
    assert orders[0] != orders[1]
    assert rows_of(sources, seed=5)[0][2].tolist() != orders[0]


def test_a_buffer_has_whole_pages_from_all_over_the_data_in_random_order():
    (_, numbers), sizes, _ = rows_of([MemorySource(X, "X")])
    assert len(sizes) == LAYOUT.buffers == 7 and max(sizes) == LAYOUT.buffer_rows == 160
    first = numbers[: sizes[0]]
    pages = np.unique(first // 20)
    assert len(pages) == 8 and pages.max() - pages.min() > 20
    assert all(np.isin(np.arange(20 * page, min(20 * page + 20, ROWS)), first).all() for page in pages)
    assert np.mean(np.diff(first) == 1) < 0.05


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("kind", ["contiguous", "compressed", "column order"])
def test_the_same_rows_whatever_holds_them_and_however_many_threads(path, kind, threads):
    expected = rows_of([MemorySource(X, "X")], threads=1)[0]
    source = MemorySource(np.asfortranarray(X), "X")
    if kind != "column order":
        source = open_source(str(path), "X" if kind == "contiguous" else "packed")
    found, _, shuffled = rows_of([source], threads)
    for mine, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert shuffled.bytes_read == source.stored_bytes  # each byte once
    assert shuffled.nbytes == 160 * (3 * 3 * 8 + 2 * 8)


def test_a_file_that_changes_is_noticed(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["X"] = X
    source = open_source(str(tmp_path / "data.h5"), "X")
    buffers = Shuffled([source], LAYOUT, threads=2).buffers(0, 1)
    next(buffers)
    with h5py.File(tmp_path / "data.h5", "a") as file:
        file["X"][0] = 7.0
        file["more"] = X
    with pytest.raises(FileChangedError):
        list(buffers)


def test_the_layout_fits_the_memory_and_has_whole_chunks(path):
    wide = MemorySource(np.empty((10**6, 100)), "X")
    roomy = choose_layout([wide], numbered=False, room=2**40)
    assert roomy.buffers == 9 and roomy.page_rows == 655  # pages of half a MiB, an eighth of all or just less
    tight = choose_layout([wide], numbered=True, room=24 * 2**20)
    assert 3 * tight.buffer_rows * 808 <= 24 * 2**20 < 4 * tight.buffer_rows * 808
    small = choose_layout([MemorySource(X, "X")], numbered=False, room=LEAST_BUFFER)
    assert small.buffers == 1
    packed = open_source(str(path), "packed")
    assert choose_layout([packed], numbered=False, room=60_000).page_rows == 820
    with pytest.raises(BudgetError, match="three pages"):
        choose_layout([packed], numbered=False, room=1000)
