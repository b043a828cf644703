"""What a copy of a file holds besides numbers: groups, links, attributes, texts and records, as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from lazyml.errors import UnsupportedError

Translate = Callable[[Any], Any]
LARGEST_TRANSLATED = 1 << 20  # references of one dataset


def copy_attributes(source: Any, target: Any, translate: Translate) -> None:
    """All attributes of an object, in their own types; references lead to the copies of what they led to."""
    for number in range(h5py.h5a.get_num_attrs(source.id)):
        attribute = h5py.h5a.open(source.id, index=number)
        place = f"{source.file.filename}: the attribute {attribute.name.decode(errors='replace')} of {source.name}"
        stored, space = attribute.get_type().copy(), attribute.get_space()
        made = h5py.h5a.create(target.id, attribute.name, stored, space)
        if space.get_simple_extent_type() == h5py.h5s.NULL:
            continue
        try:
            values = np.empty(attribute.shape, attribute.dtype)
        except TypeError as error:
            raise _odd(place, str(error)) from error
        attribute.read(values)
        made.write(_translated(values, translate, place) if has_references(values.dtype) else values)


def copy_dataset(source: h5py.Dataset, target: h5py.Group, name: str, translate: Translate) -> Callable[[], None]:
    """A dataset that is not to be put in other chunks: by the library, as it is stored.

    What is given is to be called when everything is there that references may lead to.
    """
    place = f"{source.file.filename}: {source.name}"
    try:
        references = has_references(source.dtype)
    except TypeError:  # a type that NumPy does not have: the library copies it without looking
        references = False
    if not references:
        parent = source.file[source.name.rpartition("/")[0] or "/"]
        h5py.h5o.copy(parent.id, source.name.rpartition("/")[2].encode(), target.id, name.encode())
        return lambda: None
    if source.size is None or source.size > LARGEST_TRANSLATED:
        raise _odd(place, "very many references")
    made = target.create_dataset(name, shape=source.shape, dtype=source.dtype)

    def fill() -> None:
        values = np.empty(source.shape, source.dtype)
        source.id.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
        made.id.write(h5py.h5s.ALL, h5py.h5s.ALL, _translated(values, translate, place))
        copy_attributes(source, made, translate)

    return fill


def has_references(dtype: np.dtype[Any]) -> bool:
    """Whether values of a type lead to other objects of the file."""
    if dtype.names:
        return any(has_references(dtype.fields[name][0]) for name in dtype.names)  # type: ignore[index]
    if dtype.subdtype:
        return has_references(dtype.subdtype[0])
    inner = h5py.check_vlen_dtype(dtype)
    if inner is not None:
        return inner is not str and inner is not bytes and has_references(np.dtype(inner))
    return h5py.check_ref_dtype(dtype) is not None


def _translated(values: np.ndarray[Any, Any], translate: Translate, place: str) -> np.ndarray[Any, Any]:
    result = values.copy()
    if values.dtype.names:
        for name in values.dtype.names:
            if has_references(values.dtype[name]):
                result[name] = _translated(values[name], translate, place)
        return result
    for at in np.ndindex(values.shape):
        value = values[at]
        if isinstance(value, np.ndarray):
            result[at] = _translated(value, translate, place)
        elif isinstance(value, h5py.RegionReference):
            raise _odd(place, "references to regions")
        else:
            result[at] = translate(value)
    return result


def _odd(place: str, found: str) -> UnsupportedError:
    return UnsupportedError(f"{place} can not be copied", expected="numbers, texts, records or references to objects",
                            found=found, fix="copy only the datasets that you need: --dataset NAME")  # fmt: skip
