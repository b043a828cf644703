"""Sizes by the machine's caches, and those that were measured: which count, and what a wrong file does."""

import json
import pickle
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest

import lazyml as lz
from lazyml import engine, sizes
from lazyml.config import KIB, MIB, SETTINGS, VERSION
from lazyml.machine import Caches, caches
from lazyml.sizes import Sizes, by_caches, encode, forget, in_force, on_this_machine, tuned_file
from lazyml.solvers.checkpoint import saved_sizes

CHANGED = Sizes(block_bytes=32 * KIB, strip_bytes=4 * KIB, loop_columns=5)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LAZYML_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()


def store(content):
    tuned_file().write_bytes(content)
    forget()


def edited(**changes):
    return json.dumps({**json.loads(encode(CHANGED, "today")), **changes}).encode()


def cache_folder(tmp_path, **levels):
    """A tree as Linux has it: name=(level, type, size)."""
    for name, (level, kind, size) in levels.items():
        folder = tmp_path / "cpu0" / name
        folder.mkdir(parents=True)
        for file, text in (("level", level), ("type", kind), ("size", size)):
            (folder / file).write_text(f"{text}\n")
    return tmp_path / "cpu0"


def test_caches_are_read_from_where_linux_tells_them(tmp_path):
    folder = cache_folder(tmp_path, index0=(1, "Instruction", "64K"), index1=(1, "Data", "48K"),
                          index2=(2, "Unified", "2M"), index3=(3, "Unified", "30720K"))  # fmt: skip
    assert caches(folder) == Caches(48 * KIB, 2 * MIB)
    (folder / "index1/size").write_text("unknown\n")
    (folder / "index2/level").unlink()
    assert caches(folder) == Caches() == caches(tmp_path / "none")


@pytest.mark.parametrize(
    ("found", "block", "strip"),
    [
        (Caches(32 * KIB, MIB), 128 * KIB, 8 * KIB),
        (Caches(), 128 * KIB, 8 * KIB),
        (Caches(48 * KIB, 1280 * KIB), 160 * KIB, 12 * KIB),
        (Caches(8 * KIB, 128 * KIB), 64 * KIB, 4 * KIB),
        (Caches(256 * KIB, 12 * MIB), 512 * KIB, 32 * KIB),
        (Caches(None, 2 * MIB), 256 * KIB, 8 * KIB),
    ],
)
def test_sizes_follow_the_caches(found, block, strip):
    assert by_caches(found) == Sizes(block_bytes=block, strip_bytes=strip)


def test_what_was_measured_counts_and_what_was_chosen_stays():
    store(encode(CHANGED, "today"))
    assert in_force().sizes == CHANGED and in_force().origin == "tuned"
    settings = on_this_machine(SETTINGS)
    assert sizes.sizes_of(settings) == CHANGED and "today" in settings.sizes_from
    assert on_this_machine(replace(SETTINGS, page_bytes=4096, block_bytes=999)) == replace(
        settings, page_bytes=4096, block_bytes=999
    )


@pytest.mark.parametrize("name", ["processor", "second cache", "lazyml", "numba", "numpy"])
def test_what_was_measured_elsewhere_does_not_count(name):
    store(edited(machine={**sizes.machine(), name: "other"}))
    found = in_force()
    assert found.sizes == Sizes() and found.origin == "caches" and f"{name} other" in found.ignored
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert on_this_machine(SETTINGS) == SETTINGS


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1, 2]", b"\xff\xfe", edited(sizes={"page_bytes": 4096}), edited(sizes=3), edited(machine=7),
     edited(sizes={**vars(CHANGED), "strip_bytes": 0}), edited(sizes={**vars(CHANGED), "loop_columns": True}),
     edited(sizes={**vars(CHANGED), "page_bytes": 10**12}), edited(sizes={**vars(CHANGED), "block_bytes": 1e5})],
)  # fmt: skip
def test_a_damaged_file_is_named_and_does_not_count(content):
    store(content)
    with pytest.warns(RuntimeWarning, match=r"tuned\.json is not what lazyml tune wrote .* --reset"):
        assert on_this_machine(SETTINGS) == SETTINGS


def test_another_format_is_left_alone():
    store(edited(format=99))
    assert "format 99" in in_force().ignored and on_this_machine(SETTINGS) == SETTINGS


def product(columns=4):
    X = lz.from_array(np.ones((40_000, 8), "f4"))
    return lz.compile(lz.sum(lz.tanh(X @ lz.param("W", (8, columns), "float32")), axis=0), backend="numba")


def test_plans_use_them_and_say_so():
    usual = product()
    assert "tune" not in usual.explain() and usual.plan.passes[0].library
    store(encode(CHANGED, "today"))
    tuned = product()
    assert "sizes of pages, blocks and strips: measured by lazyml tune, today" in tuned.explain()
    assert not tuned.plan.passes[0].library and product(6).plan.passes[0].library
    assert tuned.plan.tilings[0].blocks.strip < usual.plan.tilings[0].blocks.rows
    assert "blas" in usual.source and "blas" not in tuned.source
    W = np.linspace(-1, 1, 32, dtype="f4").reshape(8, 4)
    np.testing.assert_allclose(tuned(W=W), usual(W=W), rtol=1e-6)


def test_a_pickled_program_keeps_its_sizes(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.random.default_rng(1).standard_normal((50_000, 28), "f4")
    x = lz.open(tmp_path / "a.h5", "x")
    program = lz.compile(lz.sum(x * lz.param("w", 28, "float32")), backend="numba")
    text, w = pickle.dumps(program), np.linspace(0, 1, 28, dtype="f4")
    store(encode(CHANGED, "today"))
    arrived, anew = pickle.loads(text), lz.compile(lz.sum(x * lz.param("w", 28, "float32")), backend="numba")
    assert arrived.sizes == program.sizes != anew.sizes == CHANGED
    assert arrived.explain() == program.explain() and float(arrived(w=w)) == float(program(w=w))
    assert program.over({x: x}).sizes == program.sizes and program.cut_by(CHANGED).sizes == CHANGED
    assert program.cut_by(CHANGED).plan.tilings == anew.plan.tilings


def test_a_resumed_run_goes_on_with_the_sizes_it_began_with(tmp_path, rng):
    X = rng.standard_normal((40_000, 28), "f4")
    y = (X[:, 0] + 0.1 * rng.standard_normal(len(X)) > 0).astype("f4")

    def fit(**options):
        z = lz.from_array(X) @ lz.param("w", 28, "float32")
        return lz.minimize(lz.mean(lz.softplus(z) - lz.from_array(y) * z), tolerance=1e-3, **options)

    def stop(result):
        if result.n_iter == 3:
            raise KeyboardInterrupt

    path = tmp_path / "fit.checkpoint"
    whole = fit()
    with pytest.raises(KeyboardInterrupt):
        fit(checkpoint=path, callback=stop)
    assert saved_sizes(path) == vars(Sizes())
    store(encode(CHANGED, "today"))
    resumed, anew = fit(checkpoint=path), fit()
    assert resumed.params["w"].tobytes() == whole.params["w"].tobytes() and resumed.value == whole.value
    assert anew.params["w"].tobytes() != whole.params["w"].tobytes(), "else the test would see nothing"
    assert saved_sizes(tmp_path / "none") == {}


def test_nothing_is_read_at_import():
    code = (
        "import lazyml, sys; from lazyml import sizes; print(sizes._in_force.cache_info().currsize, lazyml.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", VERSION]


def test_other_settings_stay_as_they_were():
    assert on_this_machine(SETTINGS) == SETTINGS == engine.SETTINGS
