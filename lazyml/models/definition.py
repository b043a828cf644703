"""Model files: what a TOML file may say, checked, as frozen dataclasses. Nothing is opened here but the file itself."""

from __future__ import annotations

import ast
import keyword
import math
import re
import tomllib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lazyml.errors import FormulaError, SourceError, SourceNotFoundError
from lazyml.models.grammar import CONSTANTS, did_you_mean, syntax_tree, with_place
from lazyml.models.signatures import FUNCTIONS, METRICS

REQUIRED = ("data", "params", "model")
OPTIONAL = ("hyper", "solver", "predict", "metrics")
PARAM_KEYS = ("shape", "dtype", "start")
SOLVER_KEYS = ("name", "tolerance", "max_iterations")


@dataclass(frozen=True)
class DataReference:
    """Where a dataset is, and the words it was given in. `more` are the files that are stacked below the first."""

    path: Path
    dataset: str
    text: str
    more: tuple[Path, ...] = ()

    @property
    def files(self) -> tuple[Path, ...]:
        return (self.path, *self.more)


@dataclass(frozen=True)
class ParamDeclaration:
    """One trained parameter: its shape (numbers, or formulas such as "features.columns"), type and start value."""

    shape: tuple[int | str, ...] = ()
    dtype: str = "float64"
    start: float = 0.0


@dataclass(frozen=True)
class SolverSettings:
    """What `lz.minimize` is told; None leaves its default."""

    name: str = "auto"
    tolerance: float | None = None
    max_iterations: int | None = None

    def arguments(self) -> dict[str, Any]:
        given = {"solver": self.name, "tolerance": self.tolerance, "max_iterations": self.max_iterations}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class ModelDefinition:
    """A model as declared. `lines` maps (section, key) to the line of the file, for errors."""

    data: Mapping[str, DataReference]
    params: Mapping[str, ParamDeclaration]
    model: Mapping[str, str]
    hyper: Mapping[str, float] = field(default_factory=dict)
    solver: SolverSettings = field(default_factory=SolverSettings)
    predict: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, str] = field(default_factory=dict)
    origin: str = "model"
    lines: Mapping[tuple[str, str], int] = field(default_factory=dict)

    def place(self, section: str, key: str = "") -> str:
        """Where an error points: file, line, section and key."""
        line = self.lines.get((section, key), self.lines.get((section, "")))
        return f"{self.origin}{f':{line}' if line else ''} [{section}]{f' {key}' if key else ''}"

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
                waiting += [inner for text in texts for inner in _names(text) & known]
        return found


def load_definition(path: str | Path) -> ModelDefinition:
    """Read a model file. Relative paths in it are relative to the folder it is in.

    Raises SourceNotFoundError when there is no such file and FormulaError, with the line, for what is wrong in it.
    """
    path = Path(path)
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
    return definition_from_mapping(mapping, folder=path.parent, origin=str(path), lines=_line_numbers(text))


def definition_from_mapping(
    mapping: Mapping[str, Any],
    folder: str | Path = ".",
    origin: str = "model",
    lines: Mapping[tuple[str, str], int] | None = None,
) -> ModelDefinition:
    """The same from a plain mapping of sections.

    >>> definition = definition_from_mapping({
    ...     "data": {"x": "points.h5:x"}, "params": {"b": {}}, "model": {"loss": "mean((x - b)**2)"}})
    >>> definition.params["b"].dtype, definition.data["x"].dataset, sorted(definition.needed(["loss"]))
    ('float64', 'x', ['b', 'loss', 'x'])
    """
    return _Reader(mapping, Path(folder), origin, lines or {}).read()


class _Reader:
    """Checks a mapping section by section; every complaint names the place."""

    def __init__(
        self, mapping: Mapping[str, Any], folder: Path, origin: str, lines: Mapping[tuple[str, str], int]
    ) -> None:
        self.mapping, self.folder = mapping, folder
        self.draft = ModelDefinition({}, {}, {}, origin=origin, lines=lines)

    def read(self) -> ModelDefinition:
        for name in self.mapping:
            if name not in REQUIRED + OPTIONAL:
                raise self.unknown("section", name, REQUIRED + OPTIONAL, name)
        for name in REQUIRED:
            if name not in self.mapping:
                raise FormulaError(f"the section [{name}] is missing", expected=", ".join(f"[{n}]" for n in REQUIRED),
                                   where=self.draft.origin)  # fmt: skip
        data = {name: self.reference(name, text) for name, text in self.section("data").items()}
        params = {name: self.param(name, given) for name, given in self.section("params").items()}
        hyper = {name: self.number("hyper", name, value) for name, value in self.section("hyper").items()}
        formulas = {section: self.formulas(section) for section in ("model", "predict", "metrics")}
        if "loss" not in formulas["model"]:
            raise FormulaError("[model] has no loss", expected='loss = "..."', where=self.draft.place("model"),
                               fix=did_you_mean("loss", formulas["model"]))  # fmt: skip
        self.check_names({"data": data, "params": params, "hyper": hyper, **formulas})
        return ModelDefinition(data, params, formulas["model"], hyper, self.solver(), formulas["predict"],
                               formulas["metrics"], self.draft.origin, self.draft.lines)  # fmt: skip

    def section(self, name: str) -> Mapping[str, Any]:
        section = self.mapping.get(name, {})
        if not isinstance(section, Mapping):
            raise FormulaError(f"[{name}] must be a section", found=repr(section), where=self.draft.place(name))
        return section

    def unknown(self, kind: str, name: str, known: Collection[str], section: str, key: str = "") -> FormulaError:
        return FormulaError(f"unknown {kind} {name!r}", expected=", ".join(known), where=self.draft.place(section, key),
                            fix=did_you_mean(name, known))  # fmt: skip

    def wrong(
        self, section: str, key: str, what: str, expected: str, found: Any, fix: str | None = None
    ) -> FormulaError:
        return FormulaError(what, expected=expected, found=repr(found), where=self.draft.place(section, key), fix=fix)

    def reference(self, name: str, text: Any) -> DataReference:
        try:
            return parse_references(text, self.folder) if isinstance(text, list) else parse_reference(text, self.folder)
        except FormulaError as error:
            raise with_place(error, where=self.draft.place("data", name)) from error

    def param(self, name: str, given: Any) -> ParamDeclaration:
        if not isinstance(given, Mapping):
            raise self.wrong("params", name, "a parameter is a table", '{ shape = ["features.columns"] } or {}', given)
        for key in given:
            if key not in PARAM_KEYS:
                raise self.unknown("key", key, PARAM_KEYS, "params", name)
        shape = given.get("shape", [])
        shape = [shape] if isinstance(shape, int | str) else shape
        if not isinstance(shape, list | tuple) or not all(_is_size(size) for size in shape):
            raise self.wrong("params", name, "not a shape", 'a list such as [3] or ["features.columns"]', shape)
        dtype = given.get("dtype", "float64")
        if dtype not in ("float64", "float32"):
            raise self.wrong("params", name, "not a type for a parameter", '"float64" or "float32"', dtype)
        return ParamDeclaration(tuple(shape), dtype, self.number("params", name, given.get("start", 0.0)))

    def number(self, section: str, name: str, value: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return value
        if isinstance(value, list):
            raise self.wrong(section, name, "a list of values is not supported in this version", "one number", value,
                             "write one model file for each value")  # fmt: skip
        raise self.wrong(section, name, "not a number", "one finite number", value)

    def formulas(self, section: str) -> dict[str, str]:
        given = self.section(section)
        for name, text in given.items():
            if not isinstance(text, str):
                raise self.wrong(section, name, "a formula is text", 'quotes around it, as in "mean(x)"', text)
        return dict(given)

    def solver(self) -> SolverSettings:
        given = self.section("solver")
        for key in given:
            if key not in SOLVER_KEYS:
                raise self.unknown("key", key, SOLVER_KEYS, "solver", key)
        if not isinstance(given.get("name", ""), str):
            raise self.wrong("solver", "name", "not a solver", 'a name such as "lbfgs"', given["name"])
        for key in SOLVER_KEYS[1:]:
            if key in given and not self.number("solver", key, given[key]) > 0:
                raise self.wrong("solver", key, f"{key} must be positive", "a number above 0", given[key])
        if not isinstance(count := given.get("max_iterations", 1), int):
            raise self.wrong("solver", "max_iterations", "not a number of iterations", "an integer", count)
        return SolverSettings(**given)

    def check_names(self, sections: Mapping[str, Mapping[str, Any]]) -> None:
        taken: dict[str, str] = {}
        for section, entries in sections.items():
            for name in entries:
                if not (name.isascii() and name.isidentifier()) or name.startswith("_") or keyword.iskeyword(name):
                    raise self.wrong(section, name, "not a name that a formula can use",
                                     "letters, digits and _, starting with a letter", name)  # fmt: skip
                if section == "metrics":  # no formula refers to a metric, so it may be called what it likes
                    continue
                if name in CONSTANTS:
                    raise self.wrong(section, name, "the name of a constant cannot be reused", "another name", name)
                if name in FUNCTIONS and name not in METRICS:
                    raise self.wrong(section, name, "the name of a function cannot be reused", "another name", name)
                if name in taken:
                    raise self.wrong(section, name, f"the name is taken by [{taken[name]}]", "another name", name)
                taken[name] = section


def parse_reference(text: Any, folder: str | Path = ".") -> DataReference:
    """A dataset in a file, "file.h5:dataset", split at the last colon; a relative path starts at `folder`.

    The path may have wildcards: `lz.open` stacks what they find.

    >>> parse_reference("runs/flights.h5:train/features", "models").path.as_posix()
    'models/runs/flights.h5'
    """
    path, colon, dataset = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not (path and colon and dataset):
        raise FormulaError("not a reference to a dataset", expected='"file.h5:dataset"', found=repr(text))
    return DataReference(Path(folder) / path, dataset, text)


def parse_references(texts: Sequence[Any], folder: str | Path = ".") -> DataReference:
    """A list of references to datasets of one name, in files that are stacked by rows.

    >>> [path.name for path in parse_references(["a.h5:X", "b.h5:X"]).files]
    ['a.h5', 'b.h5']
    """
    parts = [parse_reference(text, folder) for text in texts]
    if len({part.dataset for part in parts}) != 1:
        raise FormulaError("not files that can be stacked", expected='datasets of one name, ["a.h5:X", "b.h5:X"]',
                           found=", ".join(part.text for part in parts) or "an empty list")  # fmt: skip
    first, *others = parts
    return DataReference(first.path, first.dataset, ", ".join(part.text for part in parts),
                         tuple(part.path for part in others))  # fmt: skip


def _is_size(size: Any) -> bool:
    return isinstance(size, str) or (isinstance(size, int) and not isinstance(size, bool) and size >= 0)


def _names(text: str) -> set[str]:
    """Names that a formula mentions; none when it does not parse, which building it reports properly."""
    try:
        tree = syntax_tree(" ".join(text.split()))
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return set()
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _line_numbers(text: str) -> dict[tuple[str, str], int]:
    """Lines of sections and keys: tomllib does not keep them.

    >>> _line_numbers('[data]\\nx = "a.h5:x"\\n[params.w]\\nshape = [2]')
    {('data', ''): 1, ('data', 'x'): 2, ('params', ''): 3, ('params', 'w'): 3}
    """
    lines: dict[tuple[str, str], int] = {}
    section, inner = "", ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[\s*([\w-]+)\s*(?:\.\s*([\w-]+)\s*)?\]", line):
            section, inner = header[1], header[2] or ""
            lines.setdefault((section, ""), number)
            if inner:
                lines.setdefault((section, inner), number)
        elif (entry := re.match(r"\s*[\"']?([\w-]+)[\"']?\s*(?:\.\s*[\w-]+\s*)*=", line)) and not inner:
            lines.setdefault((section, entry[1]), number)
            if not section:  # a key above all sections
                lines.setdefault((entry[1], ""), number)
    return lines
