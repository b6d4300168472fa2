"""The card of a trained network: what it was made from, how it was measured, and the constants it must be fed with.

NAME.json lies beside NAME.onnx. A card that is missing leaves its tool without weights, never the package broken.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from ...core.errors import SetupError
from ...core.frozen import Frozen
from ..card import Figure, Weights

WEIGHTS = Path(__file__).parent / "weights"


class TrainedOn(Frozen):
    """A data set a network was trained on or measured on."""

    name: str
    licence: str
    source: str
    citation: str

    @property
    def data_set(self) -> str:
        """The set alone: `name` without which part of it, after a comma or in brackets."""
        return re.split(r",| \(", self.name)[0]


class TrainedCard(Frozen):
    """What a recipe writes beside the weights it made.

    `settings` are the constants of the preprocessing, `calibration` those that turn outputs into probabilities;
    `figures` come from networks that never saw the pictures they are measured on, so the shipped weights, trained on
    all `items`, cannot give them again on these.
    """

    name: str
    version: str
    sha256: str
    parameters: int = Field(gt=0)
    recipe: str
    seed: int
    trained_on: tuple[TrainedOn, ...]
    split: str
    items: int
    groups: int
    figures: tuple[Figure, ...]
    settings: dict[str, Any] = Field(default_factory=dict)
    calibration: dict[str, float] = Field(default_factory=dict)
    made_with: dict[str, str] = Field(default_factory=dict)
    seconds: float = 0.0


def read_card(path: Path) -> TrainedCard:
    """The card in the file `path`. Raises SetupError where it is missing or no card."""
    try:
        return TrainedCard.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        missing = isinstance(error, FileNotFoundError)
        raise SetupError(
            expected=f"the card {path.name} of trained weights",
            got="no such file" if missing else f"a file that cannot be read as one ({type(error).__name__})",
            fix=how_to_restore(path.stem),
        ) from None


@lru_cache(maxsize=64)
def shipped_card(name: str) -> TrainedCard:
    """The card of the shipped weights called `name`. Raises SetupError where it is missing or damaged."""
    return read_card(WEIGHTS / f"{name}.json")


def weights_of(name: str) -> Weights | None:
    """What a tool's card says of the shipped weights called `name`; None where they are not installed."""
    card = _installed(name)
    if card is None:
        return None
    return Weights(
        file=f"{name}.onnx",
        sha256=card.sha256,
        parameters=card.parameters,
        trained_on=tuple(dict.fromkeys(data.data_set for data in card.trained_on)),
        sources="; ".join(f"{data.name} ({data.citation})" for data in card.trained_on),
        licence="; ".join(dict.fromkeys(data.licence for data in card.trained_on)),
        recipe=card.recipe,
    )


def figures_of(name: str) -> tuple[Figure, ...]:
    """The measured figures of the shipped weights called `name`; none where they are not installed."""
    card = _installed(name)
    return card.figures if card else ()


def how_to_restore(name: str) -> str:
    return f"install polyclinic again, or type: polyclinic train {name} --data DIR --out DIR"


def _installed(name: str) -> TrainedCard | None:
    try:
        return shipped_card(name)
    except SetupError:
        return None
