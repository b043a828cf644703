"""The few LLVM instructions that kernels need and Numba has no word for; float32 and float64.

Each is written straight into the caller's code, so each takes the caller's flags. None branches, so a loop over them
vectorises. `Layout` is IEEE 754: where the exponent stands and how it is biased.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError
from numba.extending import intrinsic as numba_intrinsic

# Numba's type hints want the typing context from callers, who must not pass it.
intrinsic = cast(Callable[[Callable[..., Any]], Any], numba_intrinsic)


@dataclass(frozen=True)
class Layout:
    """Bits of a float type: total, in the fraction, and the exponent's bias."""

    size: int
    fraction: int
    bias: int
    root_half: int
    """The bits of sqrt(1/2): where `mantissa` and `exponent` cut the number line."""

    @property
    def integer(self) -> ir.IntType:
        return ir.IntType(self.size)

    @property
    def real(self) -> ir.Type:
        return ir.DoubleType() if self.size == 64 else ir.FloatType()

    def word(self, value: int) -> ir.Constant:
        return ir.Constant(self.integer, value)


DOUBLE = Layout(64, 52, 1023, 0x3FE6A09E667F3BCD)
SINGLE = Layout(32, 23, 127, 0x3F3504F3)


def layout_of(value: types.Type) -> Layout:
    return DOUBLE if value == types.float64 else SINGLE


def rounding_constant(real: type) -> float:
    """1.5 * 2**fraction: adding it rounds to an integer, which then stands in the lowest bits of the sum."""
    return float(1.5 * 2.0 ** (DOUBLE if real(0).itemsize == 8 else SINGLE).fraction)


@intrinsic
def select(typingctx: Any, condition: Any, yes: Any, no: Any) -> Any:
    """`yes if condition else no`, both computed: LLVM's select, never a jump. Both of one type."""
    if yes != no:
        raise TypingError(f"select needs two values of one type, not {yes} and {no}")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(*args)

    return yes(types.boolean, yes, yes), generate


@intrinsic
def copy_sign(typingctx: Any, magnitude: Any, sign: Any) -> Any:
    """|magnitude| with the sign of `sign`, zeros and nan included."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        real = args[0].type
        kind = ir.FunctionType(real, [real, real])
        return builder.call(builder.module.declare_intrinsic("llvm.copysign", [real], kind), args)

    return magnitude(magnitude, magnitude), generate


def leading(count: int) -> Any:
    """A function of x that gives its `count` leading binary digits: of two such numbers the product may be exact."""

    @intrinsic
    def cut(typingctx: Any, x: Any) -> Any:
        layout = layout_of(x)
        kept = (1 << layout.size) - (1 << (layout.fraction + 1 - count))

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            word = builder.and_(builder.bitcast(args[0], layout.integer), layout.word(kept))
            return builder.bitcast(word, layout.real)

        return x(x), generate

    return cut


@intrinsic
def power_of_two(typingctx: Any, shifted: Any) -> Any:
    """2**n for shifted = n + rounding_constant, where 2**n is a normal number."""
    layout = layout_of(shifted)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        n = builder.bitcast(args[0], layout.integer)
        field = builder.shl(builder.add(n, layout.word(layout.bias)), layout.word(layout.fraction))
        return builder.bitcast(field, layout.real)

    return shifted(shifted), generate


@intrinsic
def scale(typingctx: Any, x: Any, shifted: Any) -> Any:
    """x * 2**n for shifted = n + rounding_constant, in two factors, so that it may overflow or become denormal.

    The rounding constant's own bits stand above those that the two shifts keep.
    """
    layout = layout_of(x)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value, n = args[0], builder.bitcast(args[1], layout.integer)
        biased = builder.add(n, layout.word(2 * layout.bias))
        half = builder.lshr(biased, layout.word(1))
        for part in (half, builder.sub(biased, half)):
            field = builder.shl(part, layout.word(layout.fraction))
            value = builder.fmul(value, builder.bitcast(field, layout.real))
        return value

    return x(x, x), generate


def _from_root_half(builder: Any, layout: Layout, x: Any) -> Any:
    """The bits of x, moved so that the exponent field is bias + k for x in 2**k * [sqrt(1/2), sqrt(2))."""
    word = builder.bitcast(x, layout.integer)
    return builder.add(word, layout.word((layout.bias << layout.fraction) - layout.root_half))


@intrinsic
def exponent(typingctx: Any, x: Any) -> Any:
    """The k of x = 2**k * m, m in [sqrt(1/2), sqrt(2)), as a float; x positive and normal."""
    layout = layout_of(x)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        field = builder.lshr(_from_root_half(builder, layout, args[0]), layout.word(layout.fraction))
        # An integer in the lowest bits of 2**fraction is that integer as a float: no conversion instruction is
        # needed, and before AVX-512 there is none for 64-bit lanes.
        base = (layout.bias + layout.fraction) << layout.fraction
        shifted = builder.bitcast(builder.or_(field, layout.word(base)), layout.real)
        return builder.fsub(shifted, ir.Constant(layout.real, 2.0**layout.fraction + layout.bias))

    return x(x), generate


@intrinsic
def mantissa(typingctx: Any, x: Any) -> Any:
    """The m of x = 2**k * m, m in [sqrt(1/2), sqrt(2)); x positive and normal."""
    layout = layout_of(x)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        fraction = builder.and_(_from_root_half(builder, layout, args[0]), layout.word((1 << layout.fraction) - 1))
        return builder.bitcast(builder.add(fraction, layout.word(layout.root_half)), layout.real)

    return x(x), generate


@intrinsic
def inverse_power(typingctx: Any, x: Any) -> Any:
    """2**(1 - k) for the k of `exponent`; 0 for the largest k. One power more than the inverse keeps it normal."""
    layout = layout_of(x)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        field = builder.lshr(_from_root_half(builder, layout, args[0]), layout.word(layout.fraction))
        inverse = builder.sub(layout.word(2 * layout.bias + 1), field)
        return builder.bitcast(builder.shl(inverse, layout.word(layout.fraction)), layout.real)

    return x(x), generate


def polynomial(coefficients: tuple[float, ...], chains: int = 1) -> Any:
    """A function of x that computes c0 + c1 x + c2 x**2 + ... by Horner's rule, written out.

    In two chains, of even and odd powers, where each step would wait for the one before longer than for anything else.
    """

    @intrinsic
    def horner(typingctx: Any, x: Any) -> Any:
        layout = layout_of(x)

        def chain(builder: Any, x: Any, own: tuple[float, ...]) -> Any:
            value = ir.Constant(layout.real, own[-1])
            for coefficient in own[-2::-1]:
                value = builder.fadd(builder.fmul(value, x), ir.Constant(layout.real, coefficient))
            return value

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            (x,) = args
            if chains == 1:
                return chain(builder, x, coefficients)
            square = builder.fmul(x, x)
            even, odd = (chain(builder, square, coefficients[first::2]) for first in (0, 1))
            return builder.fadd(builder.fmul(odd, x), even)

        return x(x), generate

    return horner


def _extremum(name: str) -> Any:
    @intrinsic
    def extremum(typingctx: Any, x: Any, y: Any) -> Any:
        if x != y or not isinstance(x, types.Float):
            raise TypingError(f"{name} needs two floats of one type, not {x} and {y}")

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            real = args[0].type
            kind = ir.FunctionType(real, [real, real])
            return builder.call(builder.module.declare_intrinsic(f"llvm.{name}", [real], kind), args)

        return x(x, x), generate

    return extremum


maximum = _extremum("maximum")
"""np.maximum of two floats of one type, nan if one is; a reduction with it is vectorised, one with `>` is not."""

minimum = _extremum("minimum")
"""np.minimum of two floats of one type, nan if one is."""


@intrinsic
def sort_key(typingctx: Any, x: Any) -> Any:
    """An unsigned integer that is ordered as x is: of 32 bits for types of up to 32 bits, else of 64; nan comes last.

    A float's bits, read as an integer, are ordered as its value once the sign bit of positive numbers is turned, and
    all bits of negative ones.
    """
    size = 64 if not isinstance(x, types.Boolean) and x.bitwidth > 32 else 32

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        (value,) = args
        integer = ir.IntType(size)
        top = ir.Constant(integer, 1 << (size - 1))
        if isinstance(x, types.Float):
            is_nan = builder.fcmp_unordered("uno", value, value)
            word = builder.bitcast(value, integer)
            negative = builder.icmp_signed("<", word, ir.Constant(integer, 0))
            turned = builder.select(negative, ir.Constant(integer, (1 << size) - 1), top)
            return builder.select(is_nan, ir.Constant(integer, (1 << size) - 1), builder.xor(word, turned))
        signed = isinstance(x, types.Integer) and bool(getattr(x, "signed"))  # noqa: B009
        narrow = value.type.width < size
        word = (builder.sext if signed else builder.zext)(value, integer) if narrow else value
        return builder.xor(word, top) if signed else word

    result = types.uint64 if size == 64 else types.uint32
    return result(x), generate


@intrinsic
def add_pair(typingctx: Any, acc: Any, at: Any, x: Any, y: Any) -> Any:
    """acc.flat[at] += x and acc.flat[at + 1] += y in one load, addition and store: Numba makes two of each, since it
    has LLVM's pass that would join them switched off. acc is C-contiguous, of 8-byte numbers; x and y are of its type.
    """
    number = acc.dtype
    if acc.layout != "C" or number not in (types.float64, types.int64, types.uint64) or not x == y == number:
        raise TypingError(f"a pair is added to float64, int64 or uint64, not {x} and {y} to {acc}")

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        element = context.get_value_type(number)
        pair = ir.VectorType(element, 2)
        view = context.make_array(acc)(context, builder, args[0])
        place = builder.bitcast(builder.gep(view.data, [args[1]]), pair.as_pointer())
        both = ir.Constant(pair, ir.Undefined)
        for lane, value in enumerate(args[2:]):
            both = builder.insert_element(both, value, ir.Constant(ir.IntType(32), lane))
        before = builder.load(place)
        add = builder.fadd if number == types.float64 else builder.add
        after = builder.store(add(before, both), place)
        before.align = after.align = 8  # arrays promise no more
        return context.get_dummy_value()

    return types.void(acc, types.int64, x, y), generate
