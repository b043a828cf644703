"""The file of a fitted model: whole or not there, and read back exactly."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from lazyml.errors import CorruptFileError, OutputExistsError, ParameterError, SourceError, SourceNotFoundError
from lazyml.models import FittedModel, load_fitted
from lazyml.models.fitted import check_params

PARAMS = {
    "w": np.arange(6.0).reshape(2, 3).T,  # not C-contiguous: safetensors would save its memory as it lies
    "b": np.array(0.25),
    "s": np.array([1.5], np.float32),
}


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_is_saved_is_read_back(tmp_path):
    FittedModel(PARAMS, {"hyper": {"l2": 1e-4}}).save(tmp_path / "m.safetensors")
    loaded = load_fitted(tmp_path / "m.safetensors")
    assert loaded.details["hyper"] == {"l2": 1e-4}
    assert set(loaded.params) == set(PARAMS)
    for name, value in PARAMS.items():
        np.testing.assert_array_equal(loaded.params[name], value)
        assert loaded.params[name].dtype == value.dtype
        assert loaded.params[name].shape == value.shape
    assert listing(tmp_path) == ["m.safetensors"]


def test_an_output_that_exists_is_kept_unless_forced(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_text("precious")
    with pytest.raises(OutputExistsError, match="--force"):
        FittedModel(PARAMS, {}).save(path)
    assert path.read_text() == "precious"
    FittedModel(PARAMS, {}).save(path, force=True)
    assert set(load_fitted(path).params) == set(PARAMS)


def test_nothing_is_left_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    path.write_text("precious")

    def no_space(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", no_space)
    with pytest.raises(SourceError, match="No space left"):
        FittedModel(PARAMS, {}).save(path, force=True)
    assert path.read_text() == "precious"
    assert listing(tmp_path) == ["m.safetensors"]


def test_places_that_cannot_be_written(tmp_path):
    with pytest.raises(SourceError, match="no folder"):
        FittedModel(PARAMS, {}).save(tmp_path / "none" / "m.safetensors")
    with pytest.raises(SourceError, match="is a folder"):
        FittedModel(PARAMS, {}).save(tmp_path, force=True)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(SourceNotFoundError, match="lazyml fit"):
        load_fitted(tmp_path / "none.safetensors")
    FittedModel(PARAMS, {}).save(tmp_path / "m.safetensors")
    whole = (tmp_path / "m.safetensors").read_bytes()
    for name, content in {"empty": b"", "text": b"hello" * 10, "cut": whole[:-1], "header": whole[:20]}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CorruptFileError, match="not a fitted model"):
            load_fitted(tmp_path / name)
    save_file({"w": np.zeros(2)}, tmp_path / "foreign")
    with pytest.raises(CorruptFileError, match="not a fitted model"):
        load_fitted(tmp_path / "foreign")
    save_file({"w": np.zeros(2)}, tmp_path / "later", metadata={"lazyml": '{"format": 99}'})
    with pytest.raises(CorruptFileError, match="format 99"):
        load_fitted(tmp_path / "later")


def test_other_parameters_are_refused():
    check_params(PARAMS, {"w": (3, 2), "b": (), "s": (1,)}, "model.toml")
    for shapes in ({"w": (3, 2), "b": ()}, {"w": (2, 3), "b": (), "s": (1,)}, {"v": (3, 2), "b": (), "s": (1,)}):
        with pytest.raises(ParameterError, match="other parameters"):
            check_params(PARAMS, shapes, "model.toml")
