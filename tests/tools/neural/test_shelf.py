"""A folder of models: which tools it makes, what they are called, and what is told of those it cannot make."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from polyclinic.core.errors import InputError
from polyclinic.knowledge.encoders.load import load_encoder
from polyclinic.knowledge.encoders.protocol import Encoder
from polyclinic.knowledge.encoders.radiomics import Radiomics
from polyclinic.tools.neural.heads import Label, head_tool, make_head
from polyclinic.tools.neural.shelf import tools_in
from polyclinic.tools.registry import TOOLS, Toolbox


def write_head(folder: Path, name: str, encoder: Encoder) -> None:
    pictures = [np.random.default_rng(n).integers(0, 60 + 80 * (n % 2), (40, 40)).astype(np.uint8) for n in range(12)]
    labels = [Label(picture=f"{n:064x}", klass="dark" if n % 2 else "pale") for n in range(12)]
    make_head(name, encoder, encoder.encode_pictures(pictures), labels, measure="nothing").save(folder)


def test_heads_make_tools_by_their_own_names(tmp_path: Path) -> None:
    write_head(tmp_path / "one", "first", Radiomics())
    write_head(tmp_path / "two", "second", Radiomics())
    (tmp_path / "notes").mkdir()
    (tmp_path / "readme.txt").write_text("nothing")
    tools, problems = tools_in(tmp_path)
    assert [tool.card.name for tool in tools] == ["first", "second"]
    assert problems == ()
    box = Toolbox((*TOOLS, *tools))
    assert box.get("first").card.shelf == "neural"


def test_two_heads_of_one_name_and_a_damaged_one_are_told(tmp_path: Path) -> None:
    write_head(tmp_path / "one", "same", Radiomics())
    write_head(tmp_path / "two", "same", Radiomics())
    write_head(tmp_path / "three", "other", Radiomics())
    (tmp_path / "three" / "head.npz").unlink()
    tools, problems = tools_in(tmp_path)
    assert [tool.card.name for tool in tools] == ["same"]
    said = dict(problems)
    assert "a second 'same'" in said[str(tmp_path / "two")]
    assert "head.npz" in said[str(tmp_path / "three")]


def test_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a folder of models' folders"):
        tools_in(tmp_path / "nowhere")


def test_models_make_tools_of_their_kind(tmp_path: Path, tiny_models: ModuleType) -> None:
    tiny_models.sam(tmp_path / "medsam")
    tiny_models.clip(tmp_path / "Biomed CLIP")
    tiny_models.siglip(tmp_path / "medsiglip")
    tiny_models.dinov2(tmp_path / "dino")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text('{"model_type": "sam"}')
    tools, problems = tools_in(tmp_path)
    assert [tool.card.name for tool in tools] == [
        "prompted_segmentation_medsam", "zero_shot_findings_biomed_clip", "zero_shot_findings_medsiglip",
    ]  # fmt: skip
    assert [Path(place).name for place, _ in problems] == ["broken"]


@pytest.mark.parametrize("kind", ["clip", "siglip", "dinov2"])
def test_a_head_on_a_trained_encoder_needs_it_again(tmp_path: Path, tiny_models: ModuleType, kind: str) -> None:
    tiny_models.WRITE[kind](tmp_path / "encoder")
    encoder = load_encoder(str(tmp_path / "encoder"))
    write_head(tmp_path / "head", "mine", encoder)
    tool = head_tool(tmp_path / "head")
    assert tool.card.extra == "experts"
    moved = tmp_path / "elsewhere"
    (tmp_path / "encoder").rename(moved)
    with pytest.raises(InputError, match=r"which is no folder"):
        (tool.check or (lambda: None))()
    (head_tool(tmp_path / "head", encoder=str(moved)).check or (lambda: None))()
