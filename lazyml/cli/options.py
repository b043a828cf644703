"""Options that several commands share, and what they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lazyml.errors import FormulaError, ParameterError

if TYPE_CHECKING:
    from lazyml.models import DataReference, FittedModel, ModelDefinition

_BUDGET = 'The memory budget, such as "512 MiB"; a quarter of the machine if not given.'
Model = Annotated[Path, typer.Argument(help="A model file (TOML).", metavar="MODEL.toml")]
Either = Annotated[Path, typer.Argument(help="A model file (TOML), or a fitted model alone.", metavar="MODEL")]
Fitted = Annotated[Path | None, typer.Option("--model", help="What `lazyml fit` wrote.", metavar="MODEL.safetensors")]
Data = Annotated[
    list[str] | None,
    typer.Option("--data", help="Use another dataset for a name of [data]; repeat it.", metavar="NAME=FILE:DATASET"),
]
Memory = Annotated[str | None, typer.Option(help=_BUDGET)]
Threads = Annotated[int | None, typer.Option(min=1, help="Worker threads; all processors if not given.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the output if it exists.")]


def inputs(model: Path, definition: ModelDefinition) -> list[Path]:
    """The files that a command reads."""
    return [model, *(path for reference in definition.data.values() for path in reference.files)]


def references(data: list[str] | None) -> dict[str, DataReference]:
    """NAME=FILE:DATASET options as references."""
    from lazyml.models import parse_reference

    found = {}
    for option in data or []:
        name, equals, text = option.partition("=")
        if not equals:
            raise FormulaError("--data needs a name", expected="NAME=FILE:DATASET", found=option)
        found[name] = parse_reference(text)
    return found


def model_and_fit(model: Path, fitted: Path | None) -> tuple[ModelDefinition, FittedModel]:
    """A model file and what was fitted of it; or a fitted model alone, which knows what it was fitted from."""
    from lazyml import models

    if fitted is None and model.suffix == ".toml":
        models.load_definition(model)  # what is wrong with it comes first
        raise ParameterError("which fitted model is not said", expected="--model MODEL.safetensors",
                             fix="add --model, or give the fitted model instead of the model file")  # fmt: skip
    if fitted is None:
        trained = models.load_fitted(model)
        return trained.definition, trained
    return models.load_definition(model), models.load_fitted(fitted)
