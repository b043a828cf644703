"""A fitted model in one safetensors file: the parameters as tensors, what they belong to as JSON in its metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lazyml.errors import CorruptFileError, OutputExistsError, ParameterError, SourceError, SourceNotFoundError
from lazyml.models.definition import ModelDefinition, definition_from_mapping
from lazyml.sources.outputs import refuse_sources

FORMAT = 1
_KEY = "lazyml"


@dataclass(frozen=True)
class FittedModel:
    """Trained parameters by name, and `details`: the definition, data, solver, history (see `fitting.fit`).

    `folder` is where the paths of the definition start: that of the model file.
    """

    params: Mapping[str, np.ndarray]
    details: Mapping[str, Any]
    folder: Path = Path()

    @property
    def definition(self) -> ModelDefinition:
        """The model that was fitted, so that predictions need no other file."""
        return definition_from_mapping(self.details["definition"], self.folder, "the fitted model")

    def save(self, path: str | Path, force: bool = False) -> None:
        """Write the file aside and rename it into place. Raises OutputExistsError unless `force`."""
        from safetensors.numpy import save

        path = check_output(path, force)
        tensors = {name: np.ascontiguousarray(value).reshape(np.shape(value)) for name, value in self.params.items()}
        folder = Path(os.path.relpath(self.folder, path.parent)).as_posix()
        about = {"format": FORMAT, "folder": folder, **{k: v for k, v in self.details.items() if k != "folder"}}
        replace_file(path, save(tensors, metadata={_KEY: json.dumps(about)}))


def load_fitted(path: str | Path) -> FittedModel:
    """Read what `FittedModel.save` wrote. Raises SourceNotFoundError, or CorruptFileError for any other file."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise SourceNotFoundError("the fitted model does not exist", found=str(path), fix="run lazyml fit first")
    try:
        with safe_open(path, framework="np") as file:
            details = json.loads((file.metadata() or {})[_KEY])
            params = {name: np.asarray(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        found = details["format"]
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise CorruptFileError("not a fitted model", expected="a safetensors file written by lazyml fit",
                               found=str(path), fix="fit the model again") from error  # fmt: skip
    if found != FORMAT:
        raise CorruptFileError("a fitted model of another format", expected=f"format {FORMAT}", found=f"format {found}",
                               fix="fit the model again with this version")  # fmt: skip
    return FittedModel(params, details, path.parent / details.get("folder", ""))


def check_params(params: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], origin: str) -> None:
    """Raise ParameterError unless the fitted parameters have exactly these names and shapes."""
    found = {name: tuple(map(int, value.shape)) for name, value in params.items()}
    if found != dict(shapes):
        raise ParameterError("the fitted model has other parameters than the model file",
                             expected=_listed(shapes), found=_listed(found), where=origin,
                             fix="fit again, or give data with the columns it was fitted on")  # fmt: skip


def check_output(path: str | Path, force: bool, inputs: Iterable[Path] = ()) -> Path:
    """The path, if a file may be written there; never over one of the inputs. Called before the work starts."""
    path = Path(path)
    refuse_sources(path, inputs)
    if path.exists() and not force:
        raise OutputExistsError("the output exists already", found=str(path), fix="choose another name, or use --force")
    if path.is_dir() or not path.parent.is_dir():
        found = f"{path} is a folder" if path.is_dir() else f"no folder {path.parent}"
        raise SourceError("the output cannot be written", found=found, fix="name a file in a folder that exists")
    return path


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` at `path` so that a reader, or a crash, sees the old file or the new one and nothing between."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with aside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        raise SourceError("the output cannot be written", found=f"{path}: {error.strerror}") from error
    finally:
        aside.unlink(missing_ok=True)


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {tuple(map(int, shape))}" for name, shape in sorted(shapes.items())) or "none"
