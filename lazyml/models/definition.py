"""Models as declared, in TOML files or mappings, checked: frozen dataclasses. Nothing is opened but the model file."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lazyml.errors import FormulaError, SourceError, SourceNotFoundError
from lazyml.models.grammar import syntax_tree
from lazyml.models.references import DataReference, parse_reference, parse_references
from lazyml.models.toml_lines import key_lines, line_of

__all__ = ["DataReference", "ModelDefinition", "load_definition", "parse_reference", "parse_references"]


@dataclass(frozen=True)
class ParamDeclaration:
    """One trained parameter: its shape (numbers, or formulas such as "features.columns"), type and start value."""

    shape: tuple[int | str, ...] = ()
    dtype: str = "float64"
    start: float = 0.0


@dataclass(frozen=True)
class SolverSettings:
    """What `lz.minimize` is told; None leaves its default. `options` are fields of the solver's dataclass, and
    `early_stopping` those of `lz.EarlyStopping`."""

    name: str = "auto"
    tolerance: float | None = None
    max_iterations: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    early_stopping: Mapping[str, Any] | None = None

    def arguments(self) -> dict[str, Any]:
        given = {"solver": self.name, "tolerance": self.tolerance, "max_iterations": self.max_iterations}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class EstimatorDeclaration:
    """A class of `lazyml.models`: its name, its parameters, and formulas of data for X, y, sample_weight, offset."""

    name: str
    inputs: Mapping[str, str]
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ModelDefinition:
    """A model as declared. `lines` maps paths of keys to lines of the file, for errors; `mapping` is it all, plain."""

    data: Mapping[str, DataReference]
    params: Mapping[str, ParamDeclaration] = field(default_factory=dict)
    model: Mapping[str, str] = field(default_factory=dict)
    hyper: Mapping[str, Any] = field(default_factory=dict)
    solver: SolverSettings = field(default_factory=SolverSettings)
    predict: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    origin: str = "model"
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)
    estimator: EstimatorDeclaration | None = None
    select: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = Path()
    mapping: Mapping[str, Any] = field(default_factory=dict)

    def place(self, section: str = "", *keys: str) -> str:
        """Where an error points: file, line, section and key."""
        keys = tuple(key for key in keys if key)
        line = line_of(self.lines, (section, *keys))
        words = [f"{self.origin}{f':{line}' if line else ''}", f"[{section}]" if section else "", ".".join(keys)]
        return " ".join(word for word in words if word)

    @property
    def listed(self) -> dict[str, tuple[float, ...]]:
        """The hypers that have a list of values, of which one is to be chosen."""
        return {name: value for name, value in self.hyper.items() if isinstance(value, tuple)}

    def needed(self, outputs: Iterable[str]) -> set[str]:
        """Every name that the formulas `outputs` of [model] and [predict] depend on, themselves included."""
        formulas = {**self.model, **self.predict}
        known = {*self.data, *self.hyper, *self.params, *formulas}
        shapes = {name: [s for s in p.shape if isinstance(s, str)] for name, p in self.params.items()}
        found: set[str] = set()
        waiting = list(outputs)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                texts = [formulas[name]] if name in formulas else shapes.get(name, [])
                waiting += [inner for text in texts for inner in names_in(text) & known]
        return found


def load_definition(source: str | Path | Mapping[str, Any]) -> ModelDefinition:
    """Read a model file, or a plain mapping of its sections.

    Relative paths in a file are relative to the folder that it is in, those in a mapping to the current folder.
    Raises SourceNotFoundError when there is no such file and FormulaError, with the line, for what is wrong in it.
    """
    if isinstance(source, Mapping):
        return definition_from_mapping(_plain(source))
    if not isinstance(source, str | Path):
        raise FormulaError("not a model", expected="the path of a model file, or a mapping of its sections",
                           found=type(source).__name__)  # fmt: skip
    path = Path(source)
    try:
        text = path.read_text(encoding="utf-8")
        mapping = tomllib.loads(text)
    except FileNotFoundError as error:
        raise SourceNotFoundError("the model file does not exist", found=str(path)) from error
    except OSError as error:
        raise SourceError("the model file cannot be read", found=f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise FormulaError("the model file is not text", expected="TOML in UTF-8", where=str(path)) from error
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        where = f"{path}:{line[1]}" if line else str(path)
        fix = 'text is quoted: loss = "mean(x)"'
        raise FormulaError(f"not a TOML file: {error}", where=where, fix=fix) from error
    return definition_from_mapping(mapping, folder=path.parent, origin=str(path), lines=key_lines(text))


def _plain(value: Any) -> Any:
    """A mapping with the numbers and lists that files have in the place of NumPy's."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def definition_from_mapping(
    mapping: Mapping[str, Any],
    folder: str | Path = ".",
    origin: str = "model",
    lines: Mapping[tuple[str, ...], int] | None = None,
) -> ModelDefinition:
    """The same from a plain mapping of sections.

    >>> definition = definition_from_mapping({
    ...     "data": {"x": "points.h5:x"}, "params": {"b": {}}, "model": {"loss": "mean((x - b)**2)"}})
    >>> definition.params["b"].dtype, definition.data["x"].dataset, sorted(definition.needed(["loss"]))
    ('float64', 'x', ['b', 'loss', 'x'])
    >>> definition_from_mapping({
    ...     "data": {"x": "points.h5:x", "y": "points.h5:y"},
    ...     "estimator": {"name": "Ridge", "X": "x", "y": "log(y)", "alpha": 0.1}}).estimator
    EstimatorDeclaration(name='Ridge', inputs={'X': 'x', 'y': 'log(y)'}, settings={'alpha': 0.1})
    """
    from lazyml.models.reader import read

    return read(mapping, Path(folder), origin, lines or {})


def names_in(text: str) -> set[str]:
    """Names that a formula mentions; none when it does not parse, which building it reports properly."""
    try:
        tree = syntax_tree(" ".join(text.split()))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
