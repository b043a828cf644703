"""The words of docs/performance.md: what each table shows, and what holds its figures back."""

INTRO = """\
# How fast it is

A pass takes as long as it takes to bring the data, at best. So lazyml is measured against plain reads of the
same bytes, which no program can beat, and against what a user would write with other libraries. The formula is
the logistic loss and its gradient, unless said otherwise, and every contestant gives the same numbers, which
the scripts check.

Times are medians. All contestants of a table run in turn in one process, each turn in another order, so that a
machine that slows down slows them all, and ratios are of such times only: a time of one table says nothing
beside one of another. Every figure comes from a script, whose command stands below its table, and so does this
page:

```
pip install -e ".[bench]"
python -m benchmarks --full --write-docs
```
"""

LOAD = """
The load is the system's count of what ran or waited for a processor, the benchmarks included: where it is much
above the number of processors, other work disturbed the figures.
"""

IN_MEMORY = """\
## Arrays in memory

The plain read sums the same arrays in a loop, on as many threads. Of the others it says how many times as long
as lazyml they take: above 1, lazyml is faster. NumPy, numexpr and PyTorch go through the matrix twice, for the
scores and for the gradient; numexpr does all between these two in one go; JAX compiles loss and gradient
together, on all processors.

Rows of 28 and of 512 columns stay in the nearest cache from the scores to the gradient, and the processor fetches
the next ones meanwhile. Rows of 4,096 do not: the scores alone run at 0.85 to 1.0 of the plain read, and while the
gradient is summed, from the second cache at 85 to 90 GB/s a core, memory rests. Fetching the next rows by
instructions meanwhile, or panels of columns, made it slower.

"""

MODELS = """\
## Passes that models are trained by

On arrays in memory. k-means is the assignment and update of 16 centres, beside an iteration of scikit-learn's
Lloyd. The models are logistic, with the loss and the gradient of each, in one pass; their parameters are
columns. The Gram matrix is X'(h * X): of 512 columns beside the library's symmetric product of a tile that
stays in the cache, without weights, on one thread; of 28 beside NumPy's product. Histograms are sums of (g, h)
by feature and bin of 8-bit codes, beside what LightGBM takes for the same ones at the root of a tree.

What holds them back, by the time of their parts on one core. k-means, of some 20 ns a row: the product, by the
library, 8.2, which is what the processor can do; turning it by columns 1.8, the nearest centre 1.9, the sums by
centre 3.3 and the counts 1.0; the rest is waiting for rows. Sixteen models of 28 columns are bound by computing,
where one model is bound by memory: two products of 16 columns, 16 ns a row, and 16 exponentials and logarithms, 11,
take longer than three times the reading of the row, with whatever kernels. A Gram matrix in panels of 64 columns
makes the blocks on its diagonal whole, which is an eighth more work than half of the matrix at 512 columns;
weighting copies the rows of a tile, and float32 panels are added to float64 totals.

"""

FILE = """\
## A file in the page cache

HDF5, contiguous. With float64 parameters lazyml computes in float64, as NumPy would. Each peer runs with the
reader and the blocks that are fastest for it.

Pages are copied from the page cache, which is the raw read, and then computed on by the same thread: the two times
add up, but for what the pass in memory hides. Mapping the file would save the copy, and a truncated file would then
end the process. PyTorch's tuned loop maps it.

"""

COLD = """\
## A file that is not in the page cache

The file is dropped from the page cache before every repeat, and all rest for a while, since rented disks allow
bursts.

"""

LAYOUTS = """\
## How data is stored

Reading and decoding into arrays, with nothing computed, against slices by h5py. Rates are of decoded bytes.

"""

PASSES = """\
## Whole passes, and rows that stay in memory

`staging alone` brings all pages and computes nothing. The ten passes are over files twice as large as the
budget, of which a part stays in memory from the first pass on.

"""

MEMORY = """\
## Memory

Training on a file, in a process of its own: the peak of resident memory above that of a process that is ready
to train, as the system counts it.

"""

FIT = """\
## A whole fit

Logistic regression with L2 of 1e-4 until the objective is within 1e-6 of its minimum, relatively: lazyml over
the file in the page cache with a budget of 512 MiB, scikit-learn on the array in memory, PyTorch over the file.
Each has the loosest tolerance, of powers of ten, with which it gets there. An epoch of SGDClassifier is beside
it for its time alone.

"""

FIT_MIXED = """\
## A fit where columns are mixed

The same with the columns scaled and mixed to a condition number of 100. Who does not get within 1e-6 of the
minimum has no time here, and stands below with the gap it reached.

"""

SQUARES = """\
## Squared loss in one pass

Least squares, ridge regression, and a path of 100 lasso penalties, over the file in the page cache with a
budget of 512 MiB; scikit-learn works on the array in memory.

Some 80 ms of each of ours are the same for any number of rows: looking at the formula, planning, and the sample
that the pass begins at. The pass takes 29 ns of processor time a row, 20 of them the Gram matrix, beside 10 for
the gradient alone. That is why ridge regression, where scikit-learn makes the same Gram matrix of the array, is
not further ahead.

"""

SELECT = """\
## Sixteen penalties in three folds

The logistic models of above with 16 penalties from 1e-1 to 1e-6, each trained without each of three folds: 48
fits in shared passes over the file, beside one fit with the same tolerance, and scikit-learn's
LogisticRegressionCV on the array in memory with the same folds. Times are over that of one fit.

"""

MINIBATCH = """\
## An epoch of minibatches

SGD and Adam with minibatches of 256 rows in random order, over the file in the page cache. PyTorch has the same
shuffle and minibatches; scikit-learn takes a step a row on the array in memory. Most of a step of ours is
Python.

"""

ROWS = """\
## Cost by the number of rows

A pass over files of more and more rows, each in a process of its own with a budget of 64 MiB, in turn with
plain reads of the same file: the time of a row, and the peak of memory above that of a process that is ready.
Small files pay for the call and for opening; files that the page cache can not hold are as fast as the disk,
for both.

"""

OVERHEAD = """\
## What a call costs

Calls on a few rows in memory, by the interpreter, on which small data runs, and compiled; and calls on
minibatches of 4,096 x 100 float32, one after the other. All on one thread. Of a minibatch's time some 40 us are
Python, and the rest the compiled function, which alone takes 1.2 times the plain read.

"""

STARTUP = """\
## From import to a first result

Each in a fresh process. On a tiny file the formula runs on the interpreter, and no compiler is imported. JAX
and PyTorch read the same file with h5py; JAX compiles at each start what lazyml compiles once and keeps.

"""

PLANNING = """\
## Planning and compiling long formulas

Formulas of so many operations, from the first of them to the plan, derivatives included; and the compilation of
a loop of so many operations, which is done once for all later processes.

"""
