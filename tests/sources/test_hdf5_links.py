"""Links, external storage and virtual datasets: inside the file's folder they work, outside they are refused."""

import os

import h5py
import numpy as np
import pytest
from source_scanning import numbers, scan_all

from lazyml.errors import DatasetNotFoundError, FileChangedError, SourceError, SourceNotFoundError
from lazyml.sources.hdf5 import open_dataset


@pytest.fixture
def folder(tmp_path):
    """outside/secret.h5, and inside/ with part.h5 and main.h5."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    for place in ("inside/part.h5", "outside/secret.h5"):
        with h5py.File(tmp_path / place, "w") as file:
            file["data/m"] = numbers((20, 3))
    np.arange(12, dtype="f4").tofile(tmp_path / "inside" / "values.bin")
    np.arange(12, dtype="f4").tofile(tmp_path / "outside" / "values.bin")
    return tmp_path / "inside"


@pytest.fixture
def main(folder):
    h5py.File(folder / "main.h5", "w").close()
    return folder / "main.h5"


def link(path, name, target):
    with h5py.File(path, "r+") as file:
        file[name] = target


def virtual(path, *sources):
    layout = h5py.VirtualLayout((20 * len(sources), 3), "f4")
    for number, source in enumerate(sources):
        layout[20 * number : 20 * number + 20] = h5py.VirtualSource(source, "data/m", (20, 3))
    with h5py.File(path, "r+") as file:
        file.create_virtual_dataset("v", layout, fillvalue=-1)


def test_soft_links(main):
    link(main, "a/b/m", numbers((20, 3)))
    for name, target in {"absolute": "/a/b/m", "group": "/a/b", "chain": "absolute", "a/relative": "b/m"}.items():
        link(main, name, h5py.SoftLink(target))
    for name in ("absolute", "group/m", "chain", "a/relative"):
        source = open_dataset(main, name)
        assert source.route.name == "preadv" and source.key.name == name
        np.testing.assert_array_equal(scan_all(source, 6)[0], numbers((20, 3)))


def test_links_in_circles(main):
    link(main, "self", h5py.SoftLink("/self"))
    link(main, "other", h5py.ExternalLink("main.h5", "/other"))
    for name in ("self", "other"):
        with pytest.raises(SourceError, match="in circles"):
            open_dataset(main, name)


def test_dangling_links(main):
    link(main, "soft", h5py.SoftLink("/nowhere"))
    link(main, "file", h5py.ExternalLink("missing.h5", "/m"))
    link(main, "dataset", h5py.ExternalLink("part.h5", "/m"))
    with pytest.raises(DatasetNotFoundError, match="no 'nowhere' in /"):
        open_dataset(main, "soft")
    with pytest.raises(SourceNotFoundError, match="a file that does not exist"):
        open_dataset(main, "file")
    with pytest.raises(DatasetNotFoundError, match="did you mean 'data/m'"):
        open_dataset(main, "dataset")


@pytest.mark.parametrize(("target", "name"), [("part.h5", "x"), ("./part.h5", "x"), ("{folder}/part.h5", "x")])
def test_external_links_inside_the_folder(folder, main, target, name):
    link(main, "x", h5py.ExternalLink(target.format(folder=folder), "/data"))
    source = open_dataset(main, "x/m")
    assert source.route.name == "preadv"
    assert source.key.location == str(main)
    np.testing.assert_array_equal(scan_all(source, 6)[0], numbers((20, 3)))
    os.utime(folder / "part.h5", (1, 1))
    with pytest.raises(FileChangedError, match=r"part.h5 changed"):
        scan_all(source, 6)


@pytest.mark.parametrize("target", ["../outside/secret.h5", "{folder}/../outside/secret.h5", "alias.h5", "/etc/passwd"])
def test_external_links_outside_the_folder(folder, main, target):
    (folder / "alias.h5").symlink_to(folder.parent / "outside" / "secret.h5")
    link(main, "x", h5py.ExternalLink(target.format(folder=folder), "/data"))
    link(main, "soft", h5py.SoftLink("/x/m"))
    for name in ("x/m", "soft"):
        with pytest.raises(SourceError, match="leads outside the file's folder"):
            open_dataset(main, name)


def test_a_file_that_is_itself_a_symbolic_link(folder, tmp_path):
    (tmp_path / "alias.h5").symlink_to(folder / "part.h5")
    source = open_dataset(tmp_path / "alias.h5", "data/m")
    np.testing.assert_array_equal(scan_all(source, 6)[0], numbers((20, 3)))


def external(path, *files):
    with h5py.File(path, "r+") as file:
        file.create_dataset("e", shape=(4 * len(files), 3), dtype="f4", external=[(name, 0, 48) for name in files])


@pytest.mark.parametrize("name", ["values.bin", "{folder}/values.bin"])
def test_external_storage_inside_the_folder(folder, main, name, monkeypatch, tmp_path):
    external(main, name.format(folder=folder))
    monkeypatch.chdir(tmp_path / "outside")  # where the library would look by itself
    np.zeros(12, "f4").tofile("values.bin")
    source = open_dataset(main, "e")
    assert source.route.name == "h5py" and source.stored_bytes == 48
    values, count = scan_all(source, 3, 2)
    np.testing.assert_array_equal(values, np.arange(12).reshape(4, 3))
    assert count == 48
    os.utime(folder / "values.bin", (1, 1))
    with pytest.raises(FileChangedError, match=r"values.bin changed"):
        scan_all(source, 3)


@pytest.mark.parametrize("name", ["../outside/values.bin", "/etc/passwd"])
def test_external_storage_outside_the_folder(main, name):
    external(main, "values.bin", name)
    with pytest.raises(SourceError, match="external storage of e leads outside"):
        open_dataset(main, "e")


def test_external_storage_that_is_missing(main):
    external(main, "nothing.bin")
    with pytest.raises(SourceNotFoundError, match="does not exist"):
        open_dataset(main, "e")


def test_virtual_datasets_inside_the_folder(folder, main):
    link(main, "data/m", numbers((20, 3), seed=1))
    virtual(main, "part.h5", ".")
    source = open_dataset(main, "v")
    assert source.route.name == "h5py" and "virtual" in source.route.slow
    for page_rows, threads in [(7, 2), (40, 1)]:
        values, count = scan_all(source, page_rows, threads)
        np.testing.assert_array_equal(values, np.concatenate([numbers((20, 3)), numbers((20, 3), seed=1)]))
        assert count == source.stored_bytes == 40 * 12
    os.utime(folder / "part.h5", (1, 1))
    with pytest.raises(FileChangedError, match=r"part.h5 changed"):
        scan_all(source, 7)


@pytest.mark.parametrize("target", ["../outside/secret.h5", "{folder}/../outside/secret.h5"])
def test_virtual_datasets_outside_the_folder(folder, main, target):
    virtual(main, "part.h5", target.format(folder=folder))
    with pytest.raises(SourceError, match="virtual dataset v leads outside"):
        open_dataset(main, "v")


def test_virtual_datasets_that_lead_outside_one_step_later(folder, main):
    with h5py.File(folder / "between.h5", "w") as file:
        file["data/m"] = h5py.ExternalLink("../outside/secret.h5", "/data/m")
    virtual(main, "between.h5")
    with pytest.raises(SourceError, match="leads outside"):
        open_dataset(main, "v")
    (folder / "between.h5").unlink()
    with h5py.File(folder / "between.h5", "w") as file:
        file.create_dataset("data/m", shape=(20, 3), dtype="f4", external=[("/etc/passwd", 0, 240)])
    with pytest.raises(SourceError, match=r"external storage .* leads outside"):
        open_dataset(main, "v")


def test_virtual_datasets_that_cannot_be_checked(main):
    plist, whole = h5py.h5p.create(h5py.h5p.DATASET_CREATE), h5py.h5s.create_simple((20, 3))
    space = h5py.h5s.create_simple((20, 3), (h5py.h5s.UNLIMITED, 3))
    space.select_hyperslab((0, 0), (h5py.h5s.UNLIMITED, 1), (20, 3), (20, 3))
    plist.set_virtual(space, b"part%b.h5", b"data/m", whole)
    with h5py.File(main, "r+") as file:
        h5py.h5d.create(
            file.id, b"v", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((20, 3), (h5py.h5s.UNLIMITED, 3)), plist
        )
    with pytest.raises(SourceError, match="a pattern of names"):
        open_dataset(main, "v")


def test_virtual_datasets_whose_source_is_missing(main):
    virtual(main, "nothing.h5")
    with pytest.raises(SourceNotFoundError, match="does not exist"):
        open_dataset(main, "v")
