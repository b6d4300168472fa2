"""Whether a tool can work on this machine: its packages, its weights, and what it checks itself. It runs no tool."""

from __future__ import annotations

import importlib.util

from ..core.errors import MissingExtraError, PolyclinicError, SetupError
from .card import Tool

EXTRAS = {
    "cpu": ("faiss", "bm25s"),
    "imaging": ("PIL", "pydicom", "skimage", "scipy", "nibabel", "onnxruntime"),
    "experts": ("torch", "transformers"),
}
"""What an extra brings, by the names it is imported by."""

DISTRIBUTIONS = {"faiss": "faiss-cpu", "PIL": "pillow", "skimage": "scikit-image"}
"""The names packages are installed by, where they differ."""


def absent(extra: str) -> tuple[str, ...]:
    """The packages of an extra that are not installed."""
    return tuple(
        DISTRIBUTIONS.get(name, name) for name in EXTRAS.get(extra, ()) if importlib.util.find_spec(name) is None
    )


def examine(tool: Tool) -> None:
    """Raises MissingExtraError where packages of the tool's extra are missing, else what its own check raises."""
    missing = absent(tool.card.extra)
    if missing:
        raise MissingExtraError.of(", ".join(missing), tool.card.extra)
    if tool.check is None:
        return
    try:
        tool.check()
    except PolyclinicError:
        raise
    except Exception as error:  # the border of a tool call: a check that fails in its own way fails
        raise SetupError(
            expected=f"{tool.card.name} to pass its own check", got=f"{type(error).__name__}: {error}",
            fix="mend or reinstall the package it comes with",
        ) from error  # fmt: skip
