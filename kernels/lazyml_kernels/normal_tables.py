"""What turns two uniform numbers into a normal one, as numbers: shared by the compiled code and its NumPy reference.

Box and Muller (1958): for u and v uniform in [0, 1), sqrt(-2 ln(1 - u)) cos(2 pi v) is standard normal. Every operation
is a sum, product, quotient or square root in the written order, which IEEE 754 rounds in one way only; so the bits are
the same on every machine and in both backends, which those of a library's log and cos are not.

Minimax fits in 60 digits, rounded; absolute errors beside them. This module imports nothing, so that the reference
needs no compiler.
"""

LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
"""ln 2 in two parts, the first so short that its product with an exponent is exact."""

SQRT_HALF_BITS = 0x3FE6A09E667F3BCD
"""The bits of sqrt(1/2): a number is 2**k m with m from there to sqrt(2)."""

LOG_TAIL = (  # (2 atanh(s) / s - 2) / s**2 in s**2, for |s| <= (sqrt(2) - 1) / (sqrt(2) + 1): 2**-54.6
    0.6666666666666666,
    0.4000000000000088,
    0.28571428570803614,
    0.22222222391713917,
    0.18181795640132906,
    0.15386239702814658,
    0.13268773138656886,
    0.13086626147840102,
)
COS = (  # cos(pi / 2 r) in r**2, for |r| <= 1/2: 2**-55.9
    1.0,
    -1.2337005501361697,
    0.2536695079010467,
    -0.02086348076331121,
    0.0009192602741831558,
    -2.520203677046026e-05,
    4.710609726757823e-07,
    -6.321256869628588e-09,
)
SIN = (  # sin(pi / 2 r) / r in r**2: 2**-53.7
    1.5707963267948966,
    -0.6459640975062463,
    0.07969262624616692,
    -0.004681754135314827,
    0.0001604411847266723,
    -3.598842717144858e-06,
    5.691927850489633e-08,
    -6.627624938992472e-10,
)
