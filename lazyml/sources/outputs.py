"""What an output may not be: a file that is read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lazyml.errors import OutputExistsError
from lazyml.expr.node import SourceKey


def refuse_sources(output: str | Path, sources: Iterable[SourceKey | str | Path], where: str | None = None) -> None:
    """Raise OutputExistsError when the output is the file of a source, by whatever link; overwriting does not allow it.

    >>> refuse_sources("new.h5", ["no-such-file.h5"])
    """
    target = Path(output)
    for source in sources:
        if isinstance(source, SourceKey) and source.kind != "hdf5":
            continue
        files = (source.files or (source.location,)) if isinstance(source, SourceKey) else (source,)
        if path := next((Path(file) for file in files if _same(target, file)), None):
            raise OutputExistsError(
                f"the output {output} is a file that is read", expected="another file",
                found=f"the data of {source.label}" if isinstance(source, SourceKey) else f"the file {path}",
                where=where, fix="choose another name: writing there would destroy the data",
            )  # fmt: skip


def _same(one: Path, other: str | Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # one of them does not exist
        return False
