"""A call that was ended in a pass goes on from the groups that were finished, with the bits of one that was not."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

import lazyml as lz
from lazyml.runtime.journal import Journal
from lazyml.runtime.staging import Staging

ROWS = 60_000


@pytest.fixture(params=["contiguous", "chunks across pages"])
def path(tmp_path, request):
    random = np.random.default_rng(0)
    layout = {} if request.param == "contiguous" else {"chunks": (50, 3), "compression": "gzip"}
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file.create_dataset("X", data=random.standard_normal((ROWS, 3)), **layout)
        file["y"] = random.standard_normal(ROWS)
    return tmp_path / "data.h5"


@pytest.fixture
def loads(monkeypatch):
    """The first rows of the pages that were loaded; Ctrl-C comes instead of the load that `loads.last` names."""

    class Loads(list):
        last = None

    found, load = Loads(), Staging.load

    def watched(self, worker, first, rows):
        if found.last is not None and len(found) == found.last:
            raise KeyboardInterrupt
        found.append(first)
        return load(self, worker, first, rows)

    monkeypatch.setattr(Staging, "load", watched)
    return found


def program(path, threads=1, page_bytes=2048):
    X, y, w = lz.open(path, "X"), lz.open(path, "y"), lz.param("w", 3)
    r = X @ w - y
    outputs = [lz.mean(r**2), lz.sum(lz.exp(-(r**2))), lz.max(r)]
    found = lz.compile(outputs, backend="numpy", threads=threads, pin=False)
    return found.cut_by(replace(found.sizes, page_bytes=page_bytes))


W = np.array([1.0, -2.0, 0.5])


def bits(values):
    return [np.asarray(value).tobytes() for value in values]


def ended(path, loads, pages, **options):
    """The journal of a call that Ctrl-C ended after so many pages."""
    call, journal = program(path, **options), Journal()
    call.journal, loads.last = journal, len(loads) + pages
    with pytest.raises(KeyboardInterrupt):
        call(w=W)
    loads.clear()
    loads.last = None
    return journal


def resumed(journal, call):
    call.journal = Journal()
    call.journal.restore(journal.calls())
    return call(w=W)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("pages", [0, 1, 47, 600])
def test_an_ended_call_goes_on_where_it_was(path, loads, threads, pages):
    call = program(path)
    whole, tiling = call(w=W), call.plan.tilings[0]
    assert tiling.groups > 100 and tiling.group_pages > 1
    every = len(loads)
    loads.clear()
    journal = ended(path, loads, pages, threads=threads)
    finished = journal.calls()[0].passes[0].groups
    assert finished <= pages // tiling.group_pages
    assert threads > 1 or finished == pages // tiling.group_pages
    assert bits(resumed(journal, program(path))) == bits(whole)
    assert len(loads) == every - finished * tiling.group_pages
    assert min(loads) == finished * tiling.group_pages * tiling.page_rows


def test_a_call_that_was_over_reads_nothing_and_counts_the_same(path, loads):
    call = program(path)
    call.journal = Journal()
    whole = call(w=W)
    read = call.last_run.bytes_read
    loads.clear()
    again = program(path)
    assert bits(resumed(call.journal, again)) == bits(whole) and not loads
    assert (again.last_run.passes, again.last_run.bytes_read) == (1, read) and read > 0


@pytest.mark.parametrize("change", [{"page_bytes": 4096}, {"w": W + 1}, {"rows": slice(0, ROWS - 1)}])
def test_what_was_finished_of_another_call_is_not_used(path, loads, change):
    journal = ended(path, loads, 300)
    given = {"w": change.get("w", W), "rows": change.get("rows")}
    call, plain = (program(path, page_bytes=change.get("page_bytes", 2048)) for _ in range(2))
    call.journal = Journal()
    call.journal.restore(journal.calls())
    assert bits(call(**given)) == bits(plain(**given))
    assert len(loads) % 2 == 0 and loads[: len(loads) // 2] == loads[len(loads) // 2 :]


def test_calls_count_in_their_order_only(path, loads):
    first = program(path)
    first.journal = Journal()
    first(w=W), first(w=W + 1)
    call = program(path)
    call.journal = Journal()
    call.journal.restore(first.journal.calls())
    loads.clear()
    call(w=W + 1)
    assert loads
    loads.clear()
    call(w=W)
    assert loads  # another call came before it, and so it is of another run


def test_rows_that_a_pass_makes_are_made_anew(path):
    X, w = lz.open(path, "X"), lz.param("w", 3)
    call = lz.compile([X @ w, lz.sum(lz.exp(X @ w))], backend="numpy")
    call.journal = Journal()
    first = call(w=W)
    call.journal.restore(call.journal.calls())
    second = call(w=W)
    assert bits(first) == bits(second) and len(second[0]) == ROWS
    assert not call.journal.calls()[0].passes


def test_it_is_saved_on_the_way(path):
    saved, call = [], program(path, threads=2)
    call.journal = Journal(every=0.0, save=lambda: saved.append(call.journal.calls()[0].passes[0].groups))
    call(w=W)
    assert len(saved) > 50 and saved == sorted(saved)
