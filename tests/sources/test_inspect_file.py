"""A report of everything in a file, odd things included."""

import h5py
import numpy as np
import pytest
from source_scanning import numbers

from lazyml.errors import SourceError, SourceNotFoundError
from lazyml.sources.inspect import inspect_file


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["plain"] = numbers((100, 4))
        file.create_dataset("g/packed", data=np.zeros((100, 4)), chunks=(50, 4), compression="gzip", shuffle=True)
        file.create_dataset("columns", data=numbers((100, 4)), chunks=(100, 1))
        file.create_dataset("scaled", data=numbers((100, 4), "i4"), chunks=(10, 4), scaleoffset=0)
        file.create_dataset("external", shape=(4,), dtype="u1", external=[("/etc/passwd", 0, 4)])
        file["names"] = np.array(["a"], h5py.string_dtype())
        file["nothing"] = h5py.Empty("f4")
        file["scalar"] = 1.0
        file["soft"] = h5py.SoftLink("/plain")
        file["to_group"] = h5py.SoftLink("/g")
        file["dangling"] = h5py.ExternalLink("missing.h5", "/m")
        file["outside"] = h5py.ExternalLink("/etc/passwd", "/m")
    return tmp_path / "a.h5"


def test_facts(path):
    report = inspect_file(path)
    found = {dataset.name: dataset for dataset in report.datasets}
    assert list(found) == sorted(found) and len(found) == 12
    plain, packed = found["plain"], found["g/packed"]
    assert (plain.shape, plain.dtype, plain.layout) == ((100, 4), "float32", "contiguous")
    assert (plain.stored_bytes, plain.ratio, plain.route, plain.slow) == (1600, 1.0, "preadv", None)
    assert (packed.chunk, packed.filters, packed.route) == ((50, 4), ("shuffle", "gzip"), "preadv + decode")
    assert packed.ratio == 3200 / packed.stored_bytes > 10
    assert "4 chunks" in found["columns"].slow and found["scaled"].route == "h5py"
    assert found["soft"].route == "preadv"
    speeds = {
        "plain": "about 1.8 x h5py",
        "columns": "much lower than repacked",
        "scaled": "that of h5py",
        "names": None,
    }
    assert {name: found[name].speed for name in speeds} == speeds
    reasons = {"external": "outside", "names": "not numeric", "nothing": "neither", "scalar": "neither",
               "dangling": "does not exist", "outside": "outside", "to_group": "a group"}  # fmt: skip
    for name, reason in reasons.items():
        assert found[name].route is None and reason in found[name].unusable


def test_table(path):
    text = str(inspect_file(path))
    lines = text.splitlines()
    assert str(path) in lines[0]
    assert lines[2].split() == ["dataset", "shape", "type", "layout", "filters", "stored", "ratio", "route", "speed"]
    row = next(line for line in lines if line.startswith("g/packed"))
    assert (
        "chunks 50 x 4" in row and "shuffle + gzip" in row and row.endswith("preadv + decode  much lower than repacked")
    )
    assert "    cannot be used: names is not numeric (found: strings)" in lines
    assert any(line.startswith("    slow: each row is spread over 4 chunks") for line in lines)


def test_a_file_of_nothing(tmp_path):
    h5py.File(tmp_path / "a.h5", "w").close()
    assert str(inspect_file(tmp_path / "a.h5")).endswith("no datasets")


def test_what_is_no_file(tmp_path):
    with pytest.raises(SourceNotFoundError):
        inspect_file(tmp_path / "a.h5")
    with pytest.raises(SourceError):
        inspect_file(tmp_path)
