"""References to datasets as texts, ``"file.h5:dataset"``: in model files, to estimators and on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lazyml.errors import FormulaError


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


def parse_reference(text: str, folder: str | Path = ".") -> DataReference:
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
