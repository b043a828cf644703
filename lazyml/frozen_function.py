"""A user's function as a value: its code and all that the code refers to, as they are now, and a digest of both.

The digest is what tells one function from another, here and in another process: of bytecode, constants, defaults, what
is in closures, and the global names that the code loads, functions among them with all of theirs. It does not depend on
the function's name or file, nor on anything that the code does not look at. What is frozen is compiled, not what the
names stand for by then; so machine code that is kept under a digest is always that of the digest.

What can not be told from another of its kind, or does more than compute, is refused: objects, files, random numbers,
`print`, `raise`.
"""

from __future__ import annotations

import dis
import hashlib
import math
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lazyml.errors import UnsupportedError

BUILTINS = ("abs", "bool", "divmod", "enumerate", "float", "int", "len", "max", "min", "pow", "range", "round", "sum",
            "zip")  # fmt: skip
"""What a function may call of Python's own."""

LIBRARIES = ("math", "numpy", "numba", "lazyml_kernels")
"""What is in these is told by its name: their versions are part of every kernel's name."""

MOST_BYTES = 1 << 20
"""Of an array that a function refers to: it becomes part of the machine code."""

_EFFECTS = {
    "RAISE_VARARGS": ("raises an error", "return nan where there is no value"),
    "STORE_GLOBAL": ("sets a global name", "return the value"),
    "DELETE_GLOBAL": ("deletes a global name", None),
    "IMPORT_NAME": ("imports a module when it is called", "import it at the top of the file"),
    "YIELD_VALUE": ("is a generator", "return one number"),
}


@dataclass(eq=False)
class FrozenFunction:
    """`names` and `cells` have what global names and closures stand for: numbers, arrays, tuples of them, functions of
    libraries, modules, and frozen functions."""

    name: str
    code: types.CodeType
    defaults: tuple[Any, ...] = ()
    names: dict[str, Any] = field(default_factory=dict)
    cells: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    compiled: Any = None


def freeze(function: Any) -> FrozenFunction:
    """The function with all that it refers to, as they are now.

    >>> scale = 3.0
    >>> def by_three(x): return x * scale
    >>> before = freeze(by_three)
    >>> scale = 4.0
    >>> before.names, before.digest == freeze(by_three).digest
    ({'scale': 3.0}, False)
    """
    return _Freezer(function).frozen


def python_function(value: Any) -> Any:
    """The Python function that is meant: itself, what Numba was given, or what `lz.elementwise` was; else None."""
    while not isinstance(value, types.FunctionType):
        inner = getattr(value, "py_func", None) if _is_of(value, "numba.core.registry") else None
        inner = getattr(value, "__wrapped__", None) if _is_of(value, "lazyml.functions.user_function") else inner
        if inner is None:
            return None
        value = inner
    return value


def describe(function: Any) -> str:
    """A function by its name, file and line.

    >>> describe(describe)
    'describe (...frozen_function.py:...)'
    """
    code = function.__code__
    return f"{show_name(function)} ({code.co_filename}:{code.co_firstlineno})"


def show_name(function: Any) -> str:
    name = str(function.__name__)
    return name if name.isidentifier() else name.strip("<>") or "function"


def _is_of(value: Any, module: str) -> bool:
    return type(value).__module__ == module


class _Freezer:
    """Walks a function and what it refers to, feeding a hash in the order of the walk."""

    def __init__(self, function: Any) -> None:
        self.root = python_function(function)
        self.hash = hashlib.sha256()
        self.functions: dict[Any, FrozenFunction] = {}
        self.frozen = self._function(self.root)
        digest = self.hash.hexdigest()[:40]
        for number, frozen in enumerate(self.functions.values()):
            frozen.digest = f"{digest}_{number}" if number else digest

    def _say(self, *words: object) -> None:
        for word in words:
            data = word if isinstance(word, bytes) else str(word).encode()
            self.hash.update(len(data).to_bytes(8, "little") + data)

    def _refusal(self, what: str, found: object = None, fix: str | None = None) -> UnsupportedError:
        shown = None if found is None else f"{found!r:.80}"
        return UnsupportedError(f"the function {show_name(self.root)} {what}", found=shown, fix=fix,
                                formula=describe(self.root))  # fmt: skip

    def _function(self, function: Any) -> FrozenFunction:
        if function in self.functions:
            self._say("again", list(self.functions).index(function))
            return self.functions[function]
        code = function.__code__
        frozen = self.functions[function] = FrozenFunction(show_name(function), code)
        self._say("function")
        self._code(code)
        if function.__kwdefaults__:
            raise self._refusal("has keyword-only arguments", fix="pass them by position")
        frozen.defaults = tuple(self._value(value, "a default") for value in function.__defaults__ or ())
        self._say("defaults", len(frozen.defaults))
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        for is_cell, name, attributes in sorted(set(_references(code, cells))):
            value = self._cell(cells[name], name) if is_cell else self._global(function, name)
            place = frozen.cells if is_cell else frozen.names
            self._say("cell" if is_cell else "global", name, *attributes)
            place[name] = self._reached(value, name, attributes, place.get(name))
        for name, cell in cells.items():  # those that only an inner function passes on
            if name not in frozen.cells:
                self._say("cell", name)
                frozen.cells[name] = self._value(self._cell(cell, name), name)
        return frozen

    def _code(self, code: types.CodeType) -> None:
        for instruction in dis.get_instructions(code):
            if instruction.opname in _EFFECTS:
                what, fix = _EFFECTS[instruction.opname]
                raise self._refusal(what, fix=fix)
        counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags, code.co_nlocals
        self._say("code", code.co_code, code.co_exceptiontable, *counts, *code.co_names, "|", *code.co_freevars, "|",
                  *code.co_cellvars)  # fmt: skip
        self._say("constants", len(code.co_consts))
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant)
            elif isinstance(constant, frozenset):
                self._say("set", *sorted(map(repr, constant)))
            else:
                self._value(constant, "a constant")

    def _global(self, function: Any, name: str) -> Any:
        for scope in (function.__globals__, function.__builtins__):
            if name in scope:
                return scope[name]
        raise self._refusal(f"refers to {name}, which is not defined", fix="define it before lz.elementwise")

    def _cell(self, cell: Any, name: str) -> Any:
        try:
            return cell.cell_contents
        except ValueError:
            undefined = f"refers to {name}, which is not defined"
            raise self._refusal(undefined, fix="define it before lz.elementwise") from None

    def _reached(self, value: Any, name: str, attributes: tuple[str, ...], before: Any) -> Any:
        """What a name stands for; of a module, what is looked at in it, in a module that has nothing else."""
        if not isinstance(value, types.ModuleType):
            return self._value(value, name)
        if not attributes:
            raise self._refusal(f"uses the module {name} as a value")
        (attribute, *rest), library = attributes, value.__name__.split(".")[0] in LIBRARIES
        if not hasattr(value, attribute):
            raise self._refusal(f"refers to {name}.{attribute}, which is not defined")
        stand_in = value if library else before or types.ModuleType(value.__name__)
        inner = getattr(value, attribute)
        found = self._reached(inner, f"{name}.{attribute}", tuple(rest), getattr(before, attribute, None))
        if not library:
            setattr(stand_in, attribute, found)
        return stand_in

    def _value(self, value: Any, name: str) -> Any:
        """The value as it is now; what it says of itself is fed to the hash."""
        if value is None or type(value) in (bool, int, float, complex, str, bytes):
            self._say(type(value).__name__, repr(value))
            return value
        if type(value) is tuple:
            self._say("tuple", len(value))
            return tuple(self._value(part, name) for part in value)
        if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
            return self._array(value, name)
        if (inner := python_function(value)) is not None and not _is_kernel(inner):
            return self._function(inner)
        if (known := library_name(value)) is not None:
            self._say("library", known)
            return value
        if value is print:
            raise self._refusal("prints", fix="compute what it would print with lz.compute")
        random = type(getattr(value, "__self__", None)).__module__.startswith("numpy.random")
        fix = "refer to numbers, arrays, tuples of them, functions, and what math and numpy have"
        fix = "draw with lz.random_uniform and pass the numbers" if random else fix
        raise self._refusal(f"refers to {name}, of which lazyml can not tell whether it changes", value, fix)

    def _array(self, value: Any, name: str) -> Any:
        if value.nbytes > MOST_BYTES:
            raise self._refusal(f"refers to {name}, which is too large to become part of machine code",
                         f"{value.nbytes} bytes", "look values up with lz.take")  # fmt: skip
        copy = np.array(value)
        copy.flags.writeable = False
        self._say("array", copy.dtype.str, copy.shape, copy.tobytes())
        return copy if isinstance(value, np.ndarray) else value


def _references(code: types.CodeType, cells: dict[str, Any]) -> Iterator[tuple[bool, str, tuple[str, ...]]]:
    """The names that code looks up outside itself: whether in a closure, the name, the attributes looked at next."""
    found: tuple[bool, str] | None = None
    attributes: list[str] = []
    for instruction in dis.get_instructions(code):
        if found and instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            attributes.append(instruction.argval)
            continue
        if found and instruction.opname not in ("EXTENDED_ARG", "CACHE", "NOP"):
            yield (*found, tuple(attributes))
            found, attributes = None, []
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            found = (False, instruction.argval)
        elif "DEREF" in instruction.opname and instruction.argval in cells:
            found = (True, instruction.argval)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _references(constant, cells)


def _is_kernel(function: Any) -> bool:
    return str(function.__module__).split(".")[0] == "lazyml_kernels"


def library_name(value: Any) -> str | None:
    """The name under which a library has a value, if it does: there is then no other of that name.

    >>> library_name(math.exp), library_name(np.float32), library_name(np.where), library_name(open)
    ('math.exp', 'numpy.float32', 'numpy.where', None)
    """
    if type(value).__module__.startswith("numba.core.types"):
        return f"numba.{value}"
    name = getattr(value, "__name__", "")
    module = str(getattr(value, "__module__", None))
    places = {"numpy": np, "math": math, "lazyml_kernels": sys.modules.get(module)}
    root = "numpy" if isinstance(value, np.ufunc) else module.split(".")[0]
    if root == "builtins":
        return f"builtins.{name}" if name in BUILTINS else None
    if root not in places or getattr(places[root], name, None) is not value:
        return None
    return f"{module if root == 'lazyml_kernels' else root}.{name}"


Rebuild = Callable[[FrozenFunction], Any]


def thaw(frozen: FrozenFunction, module: str, finish: Callable[[Any], Any], rebuild: Rebuild) -> Any:
    """A function of the frozen code that sees only what was frozen, named by its digest, as `finish` makes it.

    `rebuild` gives what stands for each frozen function that it refers to. The function may be one of these, so it is
    finished before what it refers to is put in place.
    """
    name = f"{frozen.name}_{frozen.digest}"
    code = frozen.code.replace(co_name=name, co_qualname=name)
    cells = {name: types.CellType() for name in code.co_freevars}
    namespace: dict[str, Any] = {"__name__": module}
    function = types.FunctionType(code, namespace, name, frozen.defaults, tuple(cells.values()))
    frozen.compiled = finish(function)
    namespace.update({name: _thawed(value, rebuild) for name, value in frozen.names.items()})
    for name, cell in cells.items():
        cell.cell_contents = _thawed(frozen.cells[name], rebuild)
    return frozen.compiled


def _thawed(value: Any, rebuild: Rebuild) -> Any:
    if isinstance(value, FrozenFunction):
        return rebuild(value)
    if type(value) is tuple:
        return tuple(_thawed(part, rebuild) for part in value)
    if isinstance(value, types.ModuleType) and value.__name__.split(".")[0] not in LIBRARIES:
        copy = types.ModuleType(value.__name__)
        vars(copy).update({name: _thawed(part, rebuild) for name, part in vars(value).items() if name[:2] != "__"})
        return copy
    return value
