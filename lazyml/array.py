"""The user's handle on a formula: operators, NumPy's protocols, and where in the user's file each formula stands."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lazyml import engine, manners
from lazyml.config import SETTINGS, format_bytes
from lazyml.errors import DtypeError, LazymlError, ParameterError, UnsupportedError
from lazyml.expr import build
from lazyml.expr.infer import widen
from lazyml.expr.node import OPS, ChosenRows, Node, Rows, apply, topological
from lazyml.expr.ops.special import scipy_operators
from lazyml.expr.show import attempt, formula
from lazyml.origins import here as here
from lazyml.origins import line_of as line_of
from lazyml.origins import remember
from lazyml.sources.memory import MemorySource


def _binary(op: str, reflected: bool = False) -> Callable[[Any, Any], Array]:
    def method(self: Array, other: Any) -> Array:
        return operation(op, other, self) if reflected else operation(op, self, other)

    return method


def _combined(truth: str, bits: str, reflected: bool = False) -> Callable[[Any, Any], Array]:
    """& | ^: of truth values, else of the bits of integers."""

    def method(self: Array, other: Any) -> Array:
        both = all(_dtype(x).kind == "b" for x in (self, other))
        return operation(truth if both else bits, *((other, self) if reflected else (self, other)))

    return method


def _method(name: str) -> Any:
    """A method that is a function of the language, which stands in a layer above."""

    def method(self: Array, *args: Any, **options: Any) -> Any:
        return METHODS[name](self, *args, **options)

    method.__name__, method.__doc__ = name, f"lz.{name}(self, ...)."
    return method


METHODS: dict[str, Callable[..., Any]] = {}
"""The functions that Arrays have as methods, by name; `lazyml.functions` fills it."""


def _dtype(value: Any) -> np.dtype[Any]:
    return value.dtype if isinstance(value, Array) else np.asarray(value).dtype


class Array:
    """A lazy matrix, vector or scalar. Nothing is read until `compute`, `compile`, `store` or `minimize` asks for it.

    Arrays come from `lz.open`, `lz.from_array` and `lz.param`, and from operators and NumPy functions on other Arrays.
    """

    __slots__ = ("node",)
    __array_priority__ = 1000

    def __init__(self, node: Node) -> None:
        self.node = node
        remember(node)

    @property
    def shape(self) -> tuple[Any, ...]:
        """Sizes; nan for the number of rows chosen by a condition, which is not known."""
        return tuple(math.nan if isinstance(size, ChosenRows) else int(size) for size in self.node.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.node.dtype

    @property
    def ndim(self) -> int:
        return self.node.ndim

    @property
    def size(self) -> int:
        return math.prod(int(size) for size in self.node.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def name(self) -> str:
        """The name of a parameter or dataset; the formula of anything else."""
        return formula(self.node)

    @property
    def where(self) -> str | None:
        """File, line and text of the user's code that first wrote this formula."""
        return line_of(self.node)

    @property
    def T(self) -> Array:  # noqa: N802  (NumPy's name)
        return wrap("transpose", self.node) if self.ndim == 2 else self

    def parameters(self) -> list[Array]:
        """The parameters that this formula depends on, by name."""
        found = [node for node in topological([self.node]) if node.op == "param"]
        return [Array(node) for node in sorted(found, key=lambda node: node.arg)]

    def astype(self, dtype: DTypeLike) -> Array:
        return self if np.dtype(dtype) == self.dtype else wrap("cast", self.node, arg=np.dtype(dtype).str)

    sum, prod, mean = _method("sum"), _method("prod"), _method("mean")
    var, std, min, max = _method("var"), _method("std"), _method("min"), _method("max")
    argmin, argmax, any, all = _method("argmin"), _method("argmax"), _method("any"), _method("all")
    clip, round, take, dot = _method("clip"), _method("round"), _method("take"), _method("dot")

    def reshape(self, *shape: Any) -> Array:
        """lz.reshape(self, shape), the sizes in a tuple or one by one."""
        made: Array = METHODS["reshape"](self, shape[0] if len(shape) == 1 else shape)
        return made

    def __getitem__(self, key: Any) -> Array:
        part: Array = METHODS["getitem"](self, key)
        return part

    def __len__(self) -> int:
        if not self.shape:
            raise UnsupportedError("a scalar has no length", formula=formula(self.node))
        if isinstance(self.node.shape[0], ChosenRows):
            raise UnsupportedError("how many rows a condition chooses is not known", formula=formula(self.node),
                                   fix="use lz.compute(lz.sum(condition))")  # fmt: skip
        return int(self.node.shape[0])

    def item(self) -> Any:
        """The value of a scalar without parameters, computed now, as a Python number."""
        return self._number("a number").item()

    def _number(self, what: str) -> NDArray[Any]:
        refused = manners.refused_number(self.node, what, [p.name for p in self.parameters()])
        if refused is not None:
            raise refused.with_details(where=here())
        return np.asarray(self)

    def __float__(self) -> float:
        return float(self._number("a float"))

    def __int__(self) -> int:
        return int(self._number("an int"))

    def __format__(self, spec: str) -> str:
        return format(self._number("a number to format").item(), spec) if spec else str(self)

    def __index__(self) -> int:
        raise UnsupportedError("an index must be known, and a lazy Array is not", formula=formula(self.node),
                               where=here(), fix="use int(lz.compute(...))")  # fmt: skip

    def __bool__(self) -> bool:
        raise manners.refused_truth(self.node).with_details(where=here())

    def __contains__(self, value: object) -> bool:
        raise UnsupportedError("what an Array contains is not known until it is computed", formula=formula(self.node),
                               fix=f"use lz.compute(lz.any(x == {value!r:.40}))")  # fmt: skip

    def __iter__(self) -> Iterator[Array]:
        raise UnsupportedError("iterating over an Array would read it row by row", formula=formula(self.node),
                               fix="write the statistic as a formula, or lz.compute(...) a small result")  # fmt: skip

    def __reversed__(self) -> Iterator[Array]:
        return iter(self)

    def __setitem__(self, key: Any, value: Any) -> None:
        raise UnsupportedError("a lazy Array can not be written to", formula=formula(self.node), where=here(),
                               fix="make another formula: lz.where(condition, value, x)")  # fmt: skip

    def __delitem__(self, key: Any) -> None:
        raise UnsupportedError("nothing can be deleted from a lazy Array", formula=formula(self.node), where=here(),
                               fix="choose the others: x[condition]")  # fmt: skip

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ParameterError("a lazy Array has no memory to share", found="copy=False",
                                 expected="its value as a new ndarray", fix="leave copy out")  # fmt: skip
        if self.nbytes > SETTINGS.asarray_bytes:
            raise UnsupportedError(
                "turning this Array into an ndarray would read it all into memory",
                expected=f"at most {format_bytes(SETTINGS.asarray_bytes)}", found=format_bytes(self.nbytes),
                fix="reduce it first, or write it to a file with lz.store",
            )  # fmt: skip
        return np.asarray(engine.compute([self.node])[0], dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Array:
        if ufunc is np.matmul and method == "__call__" and not options:
            return matmul(*inputs)
        name = _UFUNCS.get(ufunc)
        ours = METHODS.get(ufunc.__name__) if getattr(np, ufunc.__name__, None) is ufunc else None
        if name is None and ours is not None and method == "__call__" and not options:
            made: Array = ours(*inputs)  # one that is made of several operators, such as np.square
            return made
        names = (name,) if name else scipy_operators(ufunc)
        if names is None or method != "__call__" or options:
            raise manners.refused_ufunc(ufunc, method, options, METHODS, here())
        result = operation(names[0], *inputs)
        for name in names[1:]:
            result = operation(name, result)
        return result

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        ours = ARRAY_FUNCTIONS.get(function)
        if ours is None:
            raise manners.refused_function(function, METHODS, here())
        try:
            bound = inspect.signature(ours).bind(*args, **kwargs)
        except TypeError as error:
            raise UnsupportedError(f"np.{function.__name__} on a lazy Array has fewer options than NumPy's",
                                   found=str(error), where=here(),
                                   fix=next((manners.OPTIONS[k] for k in kwargs if k in manners.OPTIONS), None),
                                   ) from None  # fmt: skip
        if args and not _has_array(args[0]):  # np.mean(x, where=mask) is a formula, whatever x is
            rows = next((v for v in bound.arguments.values() if isinstance(v, Array)), self)
            args = beside(rows, args[0]), *args[1:]
        return ours(*args, **kwargs)

    def __repr__(self) -> str:
        return manners.described(self.node)

    def _repr_html_(self) -> str:
        return manners.html_table("lazyml.Array", {**manners.particulars(self.node), "written in": self.where or ""})

    def __copy__(self) -> Array:
        return self

    def __deepcopy__(self, memo: Any) -> Array:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Array, (self.node,)

    __hash__ = object.__hash__

    __add__, __radd__ = _binary("add"), _binary("add", reflected=True)
    __sub__, __rsub__ = _binary("subtract"), _binary("subtract", reflected=True)
    __mul__, __rmul__ = _binary("multiply"), _binary("multiply", reflected=True)
    __truediv__, __rtruediv__ = _binary("divide"), _binary("divide", reflected=True)
    __rpow__ = _binary("power", reflected=True)
    __lt__, __le__ = _binary("less"), _binary("less_equal")
    __gt__, __ge__ = _binary("greater"), _binary("greater_equal")
    __eq__, __ne__ = _binary("equal"), _binary("not_equal")  # type: ignore[assignment]
    __floordiv__, __rfloordiv__ = _binary("floor_divide"), _binary("floor_divide", reflected=True)
    __mod__, __rmod__ = _binary("remainder"), _binary("remainder", reflected=True)
    __lshift__, __rlshift__ = _binary("left_shift"), _binary("left_shift", reflected=True)
    __rshift__, __rrshift__ = _binary("right_shift"), _binary("right_shift", reflected=True)
    __and__ = __rand__ = _combined("logical_and", "bitwise_and")
    __or__ = __ror__ = _combined("logical_or", "bitwise_or")
    __xor__ = __rxor__ = _combined("logical_xor", "bitwise_xor")

    def __pow__(self, other: Any, modulo: Any = None) -> Array:
        if modulo is not None:
            raise UnsupportedError("a power with a modulus is not there", formula=formula(self.node), where=here(),
                                   fix="write x**y % m, where x**y fits its type")  # fmt: skip
        if self.dtype.kind == "b" and type(other) is int and other == 2:  # as NumPy, which squares then
            squared: Array = METHODS["square"](self)
            return squared
        return operation("power", self, other)

    def __divmod__(self, other: Any) -> tuple[Array, Array]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[Array, Array]:
        return other // self, other % self

    def __round__(self, digits: int = 0) -> Array:
        rounded: Array = METHODS["round"](self, digits)
        return rounded

    def __pos__(self) -> Array:
        return self

    def __invert__(self) -> Array:
        return operation("logical_not" if self.dtype.kind == "b" else "invert", self)

    def __neg__(self) -> Array:
        return operation("negative", self)

    def __abs__(self) -> Array:
        return operation("absolute", self)

    def __matmul__(self, other: Any) -> Array:
        return matmul(self, other)

    def __rmatmul__(self, other: Any) -> Array:
        return matmul(other, self)


def _has_array(value: Any) -> bool:
    """Whether a value is an Array, a list with one, or text, which is never one."""
    return isinstance(value, (Array, str)) or (isinstance(value, (list, tuple)) and any(map(_has_array, value)))


def coerce(value: Any, like: np.dtype[Any] | None, op: str) -> Node:
    """An operand as a node; a Python number takes the dtype that it would in NumPy beside others of dtype `like`."""
    if isinstance(value, Array):
        return value.node
    try:
        if isinstance(value, (bool, int, float)) and like is not None:
            try:
                return build.const(value, np.result_type(like, value))
            except OverflowError:  # as in NumPy: any two integers compare or divide, but a sum must fit
                if op in manners.COMPARISONS:
                    return build.const(value)
                return build.const(value, manners.loop_type(op, like))
        if isinstance(value, np.ma.MaskedArray):
            raise DtypeError("a masked array would lose its mask", found="a mask", fix="use array.filled(value)")
        array = np.asarray(value)
        return build.const(array.astype(widen(array.dtype)))
    except (OverflowError, ValueError):  # a number that does not fit, or lists of different lengths
        found = repr(value) if like is None else f"{value!r} beside {like}"
        fix = None if like is None else "use astype to compute in a wider type"
        raise DtypeError("not a number or array of a type that fits", found=found, fix=fix,
                         where=here()) from None  # fmt: skip
    except DtypeError as error:
        raise error.with_details(formula=f"{op} with {value!r:.60}", where=here()) from None


def from_ndarray(array: Any, name: str = "array") -> Array:
    """An array in memory as a streamed source."""
    try:
        source = MemorySource(array, name)
    except LazymlError as error:
        raise error.with_details(where=here()) from None
    return Array(build.source(engine.held(source)))


def _aligned(nodes: list[Node]) -> list[Node]:
    """Give a plain ndarray a row axis where it meets one, counted from the right as broadcasting does."""
    rows = {axis - s.ndim: size for s in nodes for axis, size in enumerate(s.shape) if isinstance(size, Rows)}
    return [_with_rows(node, rows) if node.op == "const" else node for node in nodes]


def _with_rows(node: Node, rows: Mapping[int, int]) -> Node:
    for axis, size in rows.items():
        if -axis <= node.ndim and node.shape[axis] == int(size) and int(size) != 1:
            array = node.arg.value
            if node.ndim + axis == 0:
                return from_ndarray(array).node
            return build.transpose(from_ndarray(array.T).node)
    return node


def beside(rows: Array, value: Any) -> Array:
    """A value that goes with an Array: a plain ndarray of as many rows is streamed with it, any other is a constant."""
    if isinstance(value, Array):
        return value
    node, axis = coerce(value, None, "operand"), rows.node.row_axis
    count = None if axis is None else rows.shape[axis]
    if node.ndim and axis == 0 and node.shape[0] == count:
        return from_ndarray(node.arg.value)
    if node.ndim == 2 and axis == 1 and node.shape[1] == count:
        return from_ndarray(node.arg.value.T).T
    return Array(node)


def wrap(op: str, *src: Node, arg: Any = None) -> Array:
    """Apply an operator; an error gets the formula and the user's line."""
    try:
        return Array(apply(op, *src, arg=arg))
    except LazymlError as error:
        raise error.with_details(formula=attempt(op, src, arg), where=here()) from None


def operands(op: str, *values: Any) -> list[Node]:
    """The operands of an elementwise operator as nodes: what has a type of its own keeps it."""
    typed = [x.dtype for x in values[op == "where" :] if isinstance(x, (Array, np.ndarray, np.generic))]
    like = np.result_type(*typed) if typed else None
    return [coerce(x, like, op) for x in values]


def operation(op: str, *values: Any, arg: Any = None) -> Array:
    """An elementwise operator on Arrays, numbers and ndarrays."""
    return wrap(op, *_aligned(operands(op, *values)), arg=arg)


def matmul(left: Any, right: Any) -> Array:
    """A matrix product; a plain ndarray that meets the row axis is streamed with it."""
    like = left.dtype if isinstance(left, Array) else right.dtype
    x, y = coerce(left, like, "matmul"), coerce(right, like, "matmul")
    if x.op == "const" and x.ndim and y.ndim and isinstance(y.shape[0], Rows):
        x = build.transpose(from_ndarray(x.arg.value.T).node)
    if y.op == "const" and y.ndim and x.ndim and isinstance(x.shape[-1], Rows):
        y = from_ndarray(y.arg.value).node
    return wrap("matmul", x, y)


_UFUNCS: dict[np.ufunc, str] = {
    getattr(np, name): name
    for name, op in OPS.items()
    if isinstance(getattr(np, name, None), np.ufunc) and op.kind == "elementwise"
}
ARRAY_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {}
"""What stands for a function of NumPy's that is no ufunc; `lazyml.functions` fills it."""
