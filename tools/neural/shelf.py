"""The tools that a folder of models makes: each of its folders is a SAM, CLIP or SigLIP model, or a head.

What is none of these, such as an encoder that heads use, makes no tool. Nothing is downloaded, and no weights are read.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from ...core.errors import InputError, PolyclinicError
from ..card import Tool
from . import sam, zero_shot
from .heads import CARD, head_tool


def tools_in(folder: Path) -> tuple[tuple[Tool, ...], tuple[tuple[str, str], ...]]:
    """The tools of a folder of models, by name, and (folder, problem) for each that should have made one and did not.

    The only model of its kind takes the kind's name; of several each has its folder's name behind it, and a head
    always the name it was given. Raises InputError where there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(
            expected="a folder of models' folders", got=f"{str(folder)!r}, which is none", fix="check the path"
        )
    places = {place: _kind(place) for place in sorted(folder.iterdir()) if place.is_dir()}
    often = Counter(places.values())
    tools: dict[str, Tool] = {}
    problems: list[tuple[str, str]] = []
    for place, kind in places.items():
        if kind is None:
            continue
        try:
            tool = _made(place, kind, alone=often[kind] == 1)
            if tool.card.name in tools:
                raise InputError(
                    expected="models that make tools with names of their own", got=f"a second {tool.card.name!r}",
                    fix="give one of the two another name",
                )  # fmt: skip
            tools[tool.card.name] = tool
        except PolyclinicError as error:
            problems.append((str(place), str(error)))
    return tuple(tools[name] for name in sorted(tools)), tuple(problems)


def _kind(place: Path) -> str | None:
    """What makes a tool of a folder: `head`, or the model's type; None for what makes none."""
    if (place / CARD).is_file():
        return "head"
    try:
        config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    kind = config.get("model_type") if isinstance(config, dict) else None
    names = {sam.MODEL_TYPE: sam.NAME, "clip": zero_shot.NAME, "siglip": zero_shot.NAME}
    return names.get(kind) if isinstance(kind, str) else None


def _made(place: Path, kind: str, *, alone: bool) -> Tool:
    if kind == "head":
        return head_tool(place)
    name = kind if alone else f"{kind}_{re.sub(r'[^a-z0-9]+', '_', place.name.lower()).strip('_')}"
    return (sam.sam_tool if kind == sam.NAME else zero_shot.zero_shot_tool)(place, name=name)
