"""Tools that measure the same thing of a picture give it the same name: only then can they contradict each other."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from polyclinic.core.blobs import Blobs
from polyclinic.core.case import Image
from polyclinic.core.errors import PolyclinicError
from polyclinic.knowledge.ontology import shipped_ontology
from polyclinic.tools.imaging.store import ImageStore
from polyclinic.tools.registry import TOOLS
from tests.tools.classical.test_blood_smear_counts import smear
from tests.tools.classical.test_fluorescent_nuclei import field

BY_NAME = {tool.card.name: tool for tool in TOOLS}
Picture = str | Callable[[], NDArray[np.uint8]]
SECTION, EYE = "package://skimage/data/ihc.png", "package://skimage/data/retina.jpg"

# what several tools measure, in one unit, and on which picture each of them does
SAME: tuple[tuple[set[str], dict[str, Picture]], ...] = (
    ({"red cells in the picture", "white cells in the picture", "platelets in the picture"},
     {"blood_cells": smear, "blood_smear_counts": smear}),
    ({"nuclei_count", "nuclei_area", "nucleus_size"},
     {"nuclei": field, "fluorescent_nuclei": field, "stained_cells": SECTION}),
    ({"vessel_density", "field_of_view"}, {"fundus_vessels": EYE, "fundus_vessels_net": EYE}),
)  # fmt: skip


def _measured(tool_name: str, picture: Picture, folder: Path) -> dict[str, str]:
    """The names of what a tool measures on a picture, each with its unit."""
    tool, store = BY_NAME[tool_name], ImageStore(Blobs(folder / "blobs"))
    if tool.check is not None:
        try:
            tool.check()
        except PolyclinicError as error:
            pytest.skip(f"{tool_name} cannot run here: {error}")
    if not isinstance(picture, str):
        buffer = io.BytesIO()
        PIL.Image.fromarray(picture()).save(buffer, "PNG")
        (folder / "drawn.png").write_bytes(buffer.getvalue())
        picture = str(folder / "drawn.png")
    taken = store.take_in(Image(path=picture), base=folder, root=None)
    output = tool.run(tool.arguments.model_validate({"image": str(taken.image.blob)}), store)
    return {item.name: item.unit for item in output.measurements()}


@pytest.mark.parametrize(("names", "tools"), SAME, ids=["smear", "nuclei", "vessels"])
def test_what_is_the_same_has_one_name_and_one_unit(names: set[str], tools: dict[str, Picture], tmp_path: Path) -> None:
    units = {tool: _measured(tool, picture, tmp_path) for tool, picture in tools.items()}
    assert [tool for tool, found in units.items() if not names <= set(found)] == []
    assert len({tuple(found[name] for name in sorted(names)) for found in units.values()}) == 1


def test_a_figure_is_about_a_finding_or_a_shared_name() -> None:
    """A slip of the pen there would take the figure away without a word."""
    known = {finding.id for finding in shipped_ontology()}.union(*(names for names, _ in SAME))
    about = {(tool.card.name, name) for tool in TOOLS for figure in tool.card.figures for name in figure.about}
    assert {("chest_lungs", "cardiomegaly"), ("pneumonia", "pneumonia")} <= about
    assert {(tool, name) for tool, name in about if name not in known} == set()
