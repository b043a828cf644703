"""Arrays in memory: views where the layout allows, copies where it does not."""

import numpy as np
import pytest
from source_scanning import numbers, scan_all

from lazyml.errors import DtypeError, ShapeError
from lazyml.sources.memory import MemorySource

VIEWS = {
    "matrix": numbers((50, 4)),
    "vector": numbers(50, "i4"),
    "bool": numbers(50, "?"),
    "rows": numbers((80, 4))[10:60],
    "empty": numbers((0, 4)),
    "narrow": numbers((50, 0)),
}
COPIES = {
    "fortran": np.asfortranarray(numbers((50, 4))),
    "columns": numbers((50, 9))[:, 2:6],
    "strided": numbers((100, 4))[::2],
    "reversed": numbers(50)[::-1],
    "swapped": numbers((50, 4), ">f8"),
    "half": numbers((50, 4), "f2"),
    "swapped half": numbers(50, ">f2"),
    "unaligned": np.frombuffer(b"x" + numbers((50, 4)).tobytes(), np.uint8)[1:].view("f4").reshape(50, 4),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views(name):
    array = VIEWS[name]
    source = MemorySource(array, name)
    assert not source.needs_frame and source.memory(7, 2) == [] and source.stored_bytes == 0
    assert (source.key.kind, source.key.name, source.key.shape) == ("memory", name, array.shape)
    scan = source.scan(7, 1, 0, len(array))
    page = scan.load(3, 7, None, 0)
    if array.size:
        assert np.shares_memory(page, array)
    values, count = scan_all(source, 7, 2)
    np.testing.assert_array_equal(values, array)
    assert count == 0


@pytest.mark.parametrize("name", COPIES)
def test_copies(name):
    array = COPIES[name]
    source = MemorySource(array, name)
    assert source.needs_frame and "copied" in source.route.detail
    assert source.key.dtype == ("float64" if name == "swapped" else "float32")
    for page_rows, threads in [(7, 2), (1, 1), (60, 1)]:
        np.testing.assert_array_equal(scan_all(source, page_rows, threads)[0], array)


def test_a_read_only_array_gives_pages_of_the_same_numba_type():
    from numba import typeof

    array = numbers((50, 4))
    array.flags.writeable = False
    page = MemorySource(array).scan(7, 1, 0, 50).load(0, 7, None, 0)
    assert page.flags.writeable and np.shares_memory(page, array)
    assert typeof(page) == typeof(np.empty((7, 4), "f4"))
    assert not array.flags.writeable


def test_a_page_outlives_the_array_and_its_source():
    page = MemorySource(numbers((50, 4))).scan(7, 1, 0, 50).load(0, 50, None, 0)
    np.testing.assert_array_equal(page, numbers((50, 4)))


def test_an_array_is_one_source_and_another_array_another():
    one, other = numbers(50), numbers(50)
    assert MemorySource(one).key == MemorySource(one).key != MemorySource(other).key
    tokens = {MemorySource(numbers(50)).key.location for _ in range(20)}
    assert len(tokens) == 20  # also when the memory of a dead array is used again


@pytest.mark.parametrize(
    "array", [np.array(["a"]), np.zeros(3, "c8"), np.array([None]), np.zeros(3, "M8[s]"), np.zeros(3, [("a", "f4")]),
              np.zeros(3, "longdouble"), np.ma.masked_array([1.0, 2.0], [False, True])]
)  # fmt: skip
def test_what_is_not_numeric(array):
    with pytest.raises(DtypeError):
        MemorySource(array)


@pytest.mark.parametrize("array", [np.array(3.0), np.zeros((2, 3, 4))])
def test_what_is_not_a_matrix(array):
    with pytest.raises(ShapeError):
        MemorySource(array)
