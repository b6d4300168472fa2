"""Prompted segmentation with a tiny random model: as transformers has it, bounded by its prompt, refused otherwise."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray

from polyclinic.core.errors import InputError, MissingExtraError, ToolBrokenError, ToolRefusedError
from polyclinic.tools.health import examine
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from polyclinic.tools.neural.sam import TOOL, Prompted, Segmenter, sam_tool
from polyclinic.tools.registry import Toolbox

Take = Callable[..., TakenIn]
NO_TORCH = importlib.util.find_spec("torch") is None


@pytest.fixture(scope="module")
def model(tiny_models: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sam")
    tiny_models.sam(folder)
    return folder


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.ascontiguousarray(skimage.data.astronaut()[:150, :220])


def run(tool: Any, taken: TakenIn, store: ImageStore, **stated: Any) -> Prompted:
    blob = str(taken.image.blob)
    given = {"image": blob, **stated}
    output = asyncio.run(Toolbox([tool]).run(tool.card.name, given, {blob: taken.image}, store))
    assert isinstance(output, Prompted)
    return output


def by_hand(folder: Path, picture: NDArray[np.uint8], several: bool, **prompt: Any) -> tuple[Any, Any]:
    """The masks and scores as transformers' own processor, in its Pillow form, and model have them."""
    import torch
    from transformers import SamModel
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    processor = SamImageProcessorPil.from_pretrained(folder)
    inputs = processor(picture, return_tensors="pt")
    scale = inputs["reshaped_input_sizes"][0].numpy() / np.array(picture.shape[:2])
    tensors = {}
    if "box" in prompt:
        corners = np.array(prompt["box"]) * scale[[1, 0, 1, 0]]
        tensors["input_boxes"] = torch.tensor(corners[None, None], dtype=torch.float32)
    if "points" in prompt:
        places = np.array([point[:2] for point in prompt["points"]]) * scale[[1, 0]]
        tensors["input_points"] = torch.tensor(places[None, None], dtype=torch.float32)
        tensors["input_labels"] = torch.tensor([[[point[2] for point in prompt["points"]]]])
    model = SamModel.from_pretrained(folder).eval()
    with torch.no_grad():
        found = model(pixel_values=inputs["pixel_values"], multimask_output=several, **tensors)
        whole = torch.nn.functional.interpolate(found.pred_masks[0], (64, 64), mode="bilinear", align_corners=False)
        high, wide = inputs["reshaped_input_sizes"][0].tolist()
        whole = torch.nn.functional.interpolate(
            whole[..., :high, :wide], picture.shape[:2], mode="bilinear", align_corners=False
        )
    return whole[0].numpy() > 0, found.iou_scores[0, 0].numpy()


@pytest.mark.parametrize(
    ("box", "points"),
    [
        ((20, 30, 120, 110), ()),
        (None, ((60, 70, 1),)),
        (None, ((60, 70, 1), (5, 5, 0))),
        ((20, 30, 120, 110), ((60, 70, 1), (100, 100, 0))),
    ],
)
def test_masks_are_as_transformers_has_them(model: Path, picture: NDArray[np.uint8], box: Any, points: Any) -> None:
    several = box is None and len(points) == 1
    prompt = {**({"box": box} if box else {}), **({"points": points} if points else {})}
    masks, scores = by_hand(model, picture, several, **prompt)
    mask, iou = Segmenter(model).segment("a", picture, box, points)
    assert len(masks) == (3 if several else 1)
    assert (mask == masks[scores.argmax()]).mean() > 0.995
    assert iou == pytest.approx(float(np.clip(scores.max(), 0, 1)), abs=1e-3)


def test_a_picture_is_prepared_as_transformers_prepares_it(model: Path, picture: NDArray[np.uint8]) -> None:
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    for turned in (picture, np.ascontiguousarray(picture.transpose(1, 0, 2)), picture[:20, :20]):
        theirs = SamImageProcessorPil.from_pretrained(model)(turned, return_tensors="np")
        ours, size = Segmenter(model).prepared(turned)
        assert size == tuple(theirs["reshaped_input_sizes"][0])
        np.testing.assert_allclose(ours, theirs["pixel_values"][0], atol=1e-5)


def test_a_second_prompt_does_not_look_at_the_picture_again(model: Path, picture: NDArray[np.uint8]) -> None:
    segmenter = Segmenter(model)
    first, _ = segmenter.segment("a", picture, (20, 30, 120, 110), ())
    other, _ = segmenter.segment("a", np.zeros_like(picture), (20, 30, 120, 110), ())
    np.testing.assert_array_equal(first, other)
    for number in range(8):
        segmenter.segment(f"b{number}", picture, (20, 30, 120, 110), ())
    again, _ = segmenter.segment("a", np.zeros_like(picture), (20, 30, 120, 110), ())
    assert (again != first).any()


def test_it_runs_in_a_worker_and_shows_what_it_found(
    model: Path, picture: NDArray[np.uint8], take: Take, store: ImageStore
) -> None:
    taken, tool = take(picture, spacing_mm=(0.5, 0.25)), sam_tool(model)
    output = run(tool, taken, store, box=[20, 30, 120, 110])
    mask = store.open(str(output.region_area.mask)).array > 0
    assert mask.shape == picture.shape[:2]
    assert output.region_area.value == pytest.approx(100 * mask.mean(), abs=0.006)
    assert output.region_area_mm2 is not None
    assert output.region_area_mm2.value == pytest.approx(mask.sum() * 0.125, abs=0.06)
    assert output.predicted_iou.unit == "1"
    x0, y0, x1, y1 = output.region_area.box_px or (0, 0, 0, 0)
    assert mask[y0:y1, x0:x1].sum() == mask.sum()
    assert store.open(str(output.overlay)).array.shape == picture.shape
    assert output.model == Segmenter(model).folder.hash()
    assert run(tool, taken, store, box=[20, 30, 120, 110]) == output


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({}, "a box, or a point inside what is meant; got neither"),
        ({"points": [[5, 5, 0]]}, "a box, or a point inside what is meant"),
        ({"box": [10, 10, 10, 20]}, r"a box x0, y0, x1, y1 in a picture of 220 × 150 pixels"),
        ({"box": [0, 0, 221, 20]}, r"got \[0, 0, 221, 20\]"),
        ({"points": [[220, 5, 1]]}, r"points in a picture of 220 × 150 pixels; got \[220, 5\]"),
        ({"points": [[2, 5, 2]]}, r"points.0.2"),
        ({"box": [0, 0, 20, 20], "model": "/elsewhere"}, r"model: Extra inputs are not permitted"),
    ],
)
def test_prompts_that_mean_nothing_are_refused(
    model: Path, picture: NDArray[np.uint8], take: Take, store: ImageStore, stated: dict[str, Any], said: str
) -> None:
    with pytest.raises(ToolRefusedError, match=said):
        run(sam_tool(model), take(picture), store, **stated)


def test_a_picture_of_one_colour_is_refused(model: Path, take: Take, store: ImageStore) -> None:
    with pytest.raises(ToolRefusedError, match=r"a picture of one colour"):
        run(sam_tool(model), take(np.full((60, 60, 3), 90, np.uint8)), store, box=[0, 0, 20, 20])


def test_the_card_names_the_weights_by_hash_and_not_by_folder(model: Path) -> None:
    tool = sam_tool(model)
    assert tool.card.version == f"1.0.0+{Segmenter(model).folder.hash()[:12]}"
    assert str(model) not in tool.card.model_dump_json()
    assert set(tool.card.arguments) == {"box", "points"}
    examine(tool)


def test_another_model_s_folder_is_told(tmp_path: Path, tiny_models: ModuleType) -> None:
    tiny_models.dinov2(tmp_path)
    with pytest.raises(InputError, match=r"the folder of a SAM model, with config.json; got 'dinov2'"):
        sam_tool(tmp_path)
    with pytest.raises(InputError, match=r"the folder of a SAM model"):
        sam_tool(tmp_path / "nowhere")


def test_a_model_with_missing_weights_is_told(model: Path, tmp_path: Path, picture: NDArray[np.uint8]) -> None:
    from safetensors.numpy import load_file, save_file

    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_bytes((model / name).read_bytes())
    weights = load_file(model / "model.safetensors")
    weights.pop("mask_decoder.iou_token.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"1 weights are missing"):
        Segmenter(tmp_path).segment("a", picture, (0, 0, 20, 20), ())


def test_without_weights_it_says_where_they_go(take: Take, store: ImageStore, picture: NDArray[np.uint8]) -> None:
    with pytest.raises(MissingExtraError, match=r"experts|POLYCLINIC_MODELS=FOLDER"):
        examine(TOOL)
    with pytest.raises(ToolBrokenError, match=r"the folder of a SAM model; got none; name its folder"):
        run(TOOL, take(picture), store, box=[0, 0, 20, 20])


@pytest.mark.skipif(not NO_TORCH, reason="torch is installed here")
def test_without_torch_the_extra_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=r"pip install torch"):
        sam_tool(tmp_path)


@pytest.mark.parametrize("shape", [(4, 2000, 3), (1500, 3, 3), (2, 2, 3)])
def test_pictures_of_odd_shapes_are_outlined_at_their_size(model: Path, shape: tuple[int, ...]) -> None:
    odd = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    mask, iou = Segmenter(model).segment("a", odd, (0, 0, shape[1], shape[0]), ())
    assert mask.shape == shape[:2]
    assert 0 <= iou <= 1
