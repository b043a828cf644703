"""What a value of a model file may be: one object checks it, says what is wrong with it, and is its JSON schema.

A `Kind` is a plain value, a `Table` is keys with a kind each, a `Named` table has a `name` that decides its other keys.

>>> table = Table({"depth": whole(1)}, required=("depth",))
>>> [complaint.what for complaint in table.check({"depth": 0, "dept": 1}, ("tree",))]
["unknown key 'dept'", 'not a whole number']
>>> table.schema["properties"]["depth"]
{'type': 'integer', 'minimum': 1}
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lazyml.models.grammar import did_you_mean

Path = tuple[str, ...]


@dataclass(frozen=True)
class Complaint:
    """What is wrong, and the keys that lead to it."""

    path: Path
    what: str
    expected: str | None = None
    found: str | None = None
    fix: str | None = None


class Checked(Protocol):
    """What tables are made of."""

    @property
    def schema(self) -> dict[str, Any]: ...
    def check(self, value: Any, path: Path) -> Iterator[Complaint]: ...


@dataclass(frozen=True)
class Kind:
    """A value that `accepts` says yes to."""

    what: str
    expected: str
    accepts: Callable[[Any], bool]
    schema: dict[str, Any]
    choices: tuple[str, ...] = ()
    fix: str | None = None

    def check(self, value: Any, path: Path) -> Iterator[Complaint]:
        if not self.accepts(value):
            near = did_you_mean(value, self.choices) if isinstance(value, str) else None
            yield Complaint(path, self.what, self.expected, repr(value), near or self.fix)

    def called(self, what: str, expected: str | None = None, **schema: Any) -> Kind:
        """The same under other words, with more in its schema."""
        return dataclasses.replace(
            self, what=what, expected=expected or self.expected, schema={**self.schema, **schema}
        )


@dataclass(frozen=True)
class Table:
    """Keys with a kind each; where there is `others`, the user's own names too, which have that kind."""

    keys: Mapping[str, Checked] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    others: Checked | None = None
    about: str = ""
    what: str = "not a table"
    expected: str = "keys and values"

    def check(self, value: Any, path: Path) -> Iterator[Complaint]:
        if not isinstance(value, Mapping):
            what = self.what if len(path) != 1 else f"[{path[0]}] must be a section"
            yield Complaint(path, what, self.expected, repr(value))
            return
        yield from self._unknown_and_missing(value, path)
        for name, entry in value.items():
            kind = self.keys.get(name, self.others)
            if kind is not None:
                yield from kind.check(entry, (*path, name))

    def _unknown_and_missing(self, value: Mapping[str, Any], path: Path) -> Iterator[Complaint]:
        noun = "key" if path else "section"
        for name in value:
            if name not in self.keys and self.others is None:
                known = ", ".join(key for key, kind in self.keys.items() if "not" not in kind.schema)
                yield Complaint((*path, name), f"unknown {noun} {name!r}", known, fix=did_you_mean(name, self.keys))
            if self.others is not None and not re.fullmatch(NAME, str(name)):
                words = "letters, digits and _, starting with a letter"
                yield Complaint((*path, name), "not a name that a formula can use", words, repr(name))
        for name in self.required:
            if name not in value and not path:
                yield Complaint((), f"the section [{name}] is missing", ", ".join(f"[{n}]" for n in self.required))
            elif name not in value:
                near = did_you_mean(name, value)
                yield Complaint(path, f"[{'.'.join(path)}] has no {name}", f'{name} = "..."', fix=near)

    @property
    def schema(self) -> dict[str, Any]:
        made: dict[str, Any] = {"type": "object"}
        if self.about:
            made["description"] = self.about
        if self.keys:
            made["properties"] = {name: kind.schema for name, kind in self.keys.items()}
        if self.required:
            made["required"] = list(self.required)
        made["additionalProperties"] = self.others.schema if self.others is not None else False
        if self.others is not None:
            made["propertyNames"] = {"pattern": f"^{NAME}$"}
        return made


NAME = "[A-Za-z][A-Za-z0-9_]*"


@dataclass(frozen=True)
class Named:
    """A table whose key `name` decides which others it has; `default` is the name when there is none."""

    noun: str
    tables: Mapping[str, Table]
    default: str | None = None
    about: str = ""

    def check(self, value: Any, path: Path) -> Iterator[Complaint]:
        name = value.get("name", self.default) if isinstance(value, Mapping) else self.default
        if isinstance(name, str) and name in self.tables:
            yield from self.tables[name].check(value, path)
        elif not isinstance(value, Mapping):
            yield Complaint(path, f"[{'.'.join(path)}] must be a section", f"a name of a {self.noun}", repr(value))
        elif name is None:
            yield Complaint(path, f"[{'.'.join(path)}] has no name", ", ".join(self.tables))
        elif isinstance(name, str):
            known = ", ".join(self.tables)
            near = did_you_mean(name, self.tables)
            yield Complaint((*path, "name"), f"unknown {self.noun} {name!r}", known, fix=near)
        else:
            yield Complaint((*path, "name"), f"not a {self.noun}", f"a name: {', '.join(self.tables)}", repr(name))

    @property
    def schema(self) -> dict[str, Any]:
        name: dict[str, Any] = {"enum": list(self.tables)}
        made: dict[str, Any] = {"type": "object", "description": self.about, "properties": {"name": name}}
        if self.default is None:
            made["required"] = ["name"]
        else:
            name["default"] = self.default
        made["allOf"] = [
            {"if": self._has(name), "then": table.schema} for name, table in self.tables.items()
        ]  # fmt: skip
        return made

    def _has(self, name: str) -> dict[str, Any]:
        """The condition that a table has this name, or none where it is the default."""
        condition: dict[str, Any] = {"properties": {"name": {"const": name}}}
        return condition if name == self.default else {**condition, "required": ["name"]}


# --- plain kinds ---------------------------------------------------------------------------------------------------


def is_number(value: Any) -> bool:
    """Whether a value is a number and no truth value; infinity is one, nan is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def number(
    low: float | None = None, above: float | None = None, high: float | None = None, finite: bool = True
) -> Kind:
    """A number in a range.

    >>> number(above=0).accepts(0), number(low=0, high=1).expected
    (False, 'a number >= 0 and <= 1')
    """
    limits = {">=": low, ">": above, "<=": high}
    keys = {">=": "minimum", ">": "exclusiveMinimum", "<=": "maximum"}
    given = {sign: limit for sign, limit in limits.items() if limit is not None}

    def accepts(value: Any) -> bool:
        return (
            is_number(value)
            and not (finite and math.isinf(value))
            and (low is None or value >= low)
            and (above is None or value > above)
            and (high is None or value <= high)
        )

    range_ = " and ".join(f"{sign} {limit:g}" for sign, limit in given.items())
    expected = f"a number {range_}" if given else "one finite number" if finite else "a number, or inf"
    return Kind("not a number", expected, accepts, {"type": "number", **{keys[s]: limit for s, limit in given.items()}})


def _given(**keys: Any) -> dict[str, Any]:
    return {name: value for name, value in keys.items() if value is not None}


def whole(low: int | None = None) -> Kind:
    """A whole number, not below `low`."""

    def accepts(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and (low is None or value >= low)

    expected = "an integer" if low is None else f"an integer >= {low}"
    return Kind("not a whole number", expected, accepts, {"type": "integer", **_given(minimum=low)})


def text(what: str = "not a text", expected: str = "a text in quotes", pattern: str | None = None) -> Kind:
    """A text, of a pattern if there is one."""

    def accepts(value: Any) -> bool:
        return isinstance(value, str) and (pattern is None or re.fullmatch(pattern, value, re.DOTALL) is not None)

    return Kind(what, expected, accepts, {"type": "string", **_given(pattern=pattern and f"^{pattern}$")})


def choice(what: str, *names: str) -> Kind:
    """One of some words."""
    quoted = " or ".join(f'"{name}"' for name in names)
    return Kind(what, quoted, lambda value: isinstance(value, str) and value in names, {"enum": list(names)}, names)


def listing(item: Kind, least: int = 0) -> Kind:
    """A list of values of a kind."""
    expected = f"a list; in it {item.expected}"

    def accepts(value: Any) -> bool:
        return isinstance(value, list | tuple) and len(value) >= least and all(map(item.accepts, value))

    schema = {"type": "array", "items": item.schema, **_given(minItems=least or None)}
    return Kind(f"not a list: {item.what}", expected, accepts, schema)


def either(*kinds: Kind) -> Kind:
    """A value of one of these kinds; the words are those of the first."""
    expected = ", or ".join(dict.fromkeys(kind.expected for kind in kinds))
    choices = tuple(name for kind in kinds for name in kind.choices)
    return Kind(kinds[0].what, expected, lambda value: any(kind.accepts(value) for kind in kinds),
                {"anyOf": [kind.schema for kind in kinds]}, choices)  # fmt: skip


def mapping(item: Kind, expected: str) -> Kind:
    """A table of any keys with values of a kind."""

    def accepts(value: Any) -> bool:
        return isinstance(value, Mapping) and all(map(item.accepts, value.values()))

    return Kind("not a table", expected, accepts, {"type": "object", "additionalProperties": item.schema})


FLAG = Kind("not a truth value", "true or false", lambda value: isinstance(value, bool), {"type": "boolean"})
ANY = Kind("", "a value", lambda value: True, {})


# --- from dataclasses ----------------------------------------------------------------------------------------------

_BY_TYPE: dict[Any, Kind] = {bool: FLAG, int: whole(), float: number(finite=False), str: text()}


def of_fields(cls: type, special: Mapping[str, Checked] | None = None) -> dict[str, Checked]:
    """A kind for each field of a dataclass, by its type: what a solver or an estimator can be told.

    >>> @dataclass
    ... class Descent:
    ...     step: float | None = None
    ...     trials: int = 40
    >>> {name: kind.schema["type"] for name, kind in of_fields(Descent).items()}
    {'step': 'number', 'trials': 'integer'}
    """
    special = special or {}
    hints = typing.get_type_hints(cls)
    fields = [f for f in dataclasses.fields(cls) if f.init and not f.name.startswith("_")]
    return {f.name: special.get(f.name) or _of_type(hints[f.name]) for f in fields}


def _of_type(hint: Any) -> Checked:
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        inner = [_of_type(part) for part in typing.get_args(hint) if part is not type(None)]
        plain = [kind for kind in inner if isinstance(kind, Kind)]
        return inner[0] if len(inner) == 1 else either(*plain) if len(plain) == len(inner) else ANY
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return Table(of_fields(hint), what=f"not the settings of a {hint.__name__}")
    return _BY_TYPE.get(hint, ANY)
