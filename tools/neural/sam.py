"""Prompted segmentation: a box or points in, the region they mean out. A door to torch.

Method: Segment Anything (Kirillov et al., ICCV 2023) with the weights in a folder that a person names; MedSAM (Ma et
al., Nat Commun 2024;15:654) is of the same architecture. A single point means three nested regions, of which the one
the model trusts most is taken; a box or several points mean one. Pictures are scaled to the model's size as its
preprocessor_config.json says, by Pillow and numpy: transformers' own processor needs torchvision. What a picture looks
like to the model is kept for the pictures asked for last, so that a second prompt costs little.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ...core.errors import InputError, MissingExtraError, ToolBrokenError, ToolRefusedError
from ..card import Box, Measurement, ScaledImageArguments, Tool, ToolCard, ToolOutput, measured
from ..pictures import Drawn, as_picture, overlay
from .bound import bound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ...knowledge.encoders.folder import ModelFolder
    from ..imaging.store import ImageStore

NAME = "prompted_segmentation"
MODEL_TYPE = "sam"
HOW = "name its folder: POLYCLINIC_MODELS=FOLDER with it in FOLDER, or --models FOLDER"

_KEPT = 8
_DOUBTFUL_IOU = 0.7

PromptPoint = tuple[int, int, Literal[0, 1]]


class PromptArguments(ScaledImageArguments):
    """A picture with what is meant in it, in its pixels: a box, points, or both."""

    box: Annotated[Box | None, Field(description="x0, y0, x1, y1 around it")] = None
    points: Annotated[
        tuple[PromptPoint, ...], Field(max_length=32, description="x, y and 1 for a point inside it or 0 outside")
    ] = ()


class PromptRequest(PromptArguments):
    """The same with the folder of the model."""

    model: str


class Prompted(ToolOutput):
    """The region's share of the picture, its area where the pixel spacing is known, how well the model thinks it fits,
    and which model it was: the hash of its files."""

    region_area: Measurement
    region_area_mm2: Measurement | None = None
    predicted_iou: Measurement
    model: str


class Segmenter:
    """A SAM model in a folder. Thread-safe; its weights are read when it is first asked."""

    def __init__(self, folder: Path) -> None:
        from ...knowledge.encoders.neural import Model

        self.folder = sam_folder(folder)
        self._model = Model(self.folder)
        self._lock = threading.Lock()
        self._seen: OrderedDict[str, tuple[Any, tuple[int, int]]] = OrderedDict()

    @cached_property
    def side(self) -> int:
        return int(self.folder.config.get("vision_config", {}).get("image_size", 1024))

    def prepared(self, picture: NDArray[np.uint8]) -> tuple[NDArray[np.float32], tuple[int, int]]:
        """float32 (3, side, side) of uint8 RGB (H, W, 3), its longer side scaled to the model's and the rest zero, and
        the height and width that the picture has in it."""
        import numpy as np

        from ...knowledge.encoders.inputs import BILINEAR, resized
        from ...knowledge.encoders.preprocess import IMAGENET

        said = self.folder.optional("preprocessor_config.json", {})
        mean, deviation = said.get("image_mean", IMAGENET[0]), said.get("image_std", IMAGENET[1])
        if not said.get("do_normalize", True):
            mean, deviation = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        factor = float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 1.0
        scale = self.side / max(picture.shape[:2])
        high, wide = (max(1, int(length * scale + 0.5)) for length in picture.shape[:2])
        small = resized(picture, high, wide, resample=said.get("resample", BILINEAR))
        values = (small.astype(np.float64) * factor - np.array(mean)) / np.array(deviation)
        whole = np.zeros((3, self.side, self.side), dtype=np.float32)
        whole[:, :high, :wide] = values.transpose(2, 0, 1)
        return whole, (high, wide)

    def segment(
        self, key: str, picture: NDArray[np.uint8], box: Box | None, points: tuple[PromptPoint, ...]
    ) -> tuple[NDArray[np.bool_], float]:
        """The mask (H, W) that a prompt means and the overlap (IoU) the model expects; `key` names the picture."""
        import numpy as np
        import torch

        height, width = picture.shape[:2]
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with self._lock, torch.inference_mode(), exact:
            embedding, (high, wide) = self._embedded(key, picture)
            across, down = wide / width, high / height
            prompt: dict[str, Any] = {}
            if box is not None:
                corners = np.array(box, dtype=np.float32) * np.array([across, down] * 2, dtype=np.float32)
                prompt["input_boxes"] = self._model.tensor(corners[None, None])
            if points:
                places = np.array([[x * across, y * down] for x, y, _ in points], dtype=np.float32)
                prompt["input_points"] = self._model.tensor(places[None, None])
                prompt["input_labels"] = self._model.tensor(np.array([[[inside for *_, inside in points]]]))
            several = box is None and len(points) == 1
            found = self._model.network(image_embeddings=embedding, multimask_output=several, **prompt)
            scores = found.iou_scores[0, 0].float().cpu().numpy()
            best = int(scores.argmax())
            logits = found.pred_masks[0, 0, best][None, None].float()
            logits = _scaled(_scaled(logits, (self.side, self.side))[..., :high, :wide], (height, width))
            return (logits[0, 0] > 0).cpu().numpy(), float(np.clip(scores[best], 0.0, 1.0))

    def _embedded(self, key: str, picture: NDArray[np.uint8]) -> tuple[Any, tuple[int, int]]:
        """What the picture looks like to the model, and the size it has there."""
        if key not in self._seen:
            pixels, size = self.prepared(picture)
            self._seen[key] = (self._model.network.get_image_embeddings(self._model.tensor(pixels[None])), size)
            if len(self._seen) > _KEPT:
                self._seen.popitem(last=False)
        self._seen.move_to_end(key)
        return self._seen[key]


def _scaled(logits: Any, size: tuple[int, int]) -> Any:
    from torch.nn.functional import interpolate

    return interpolate(logits, size, mode="bilinear", align_corners=False)


def sam_folder(path: Path) -> ModelFolder:
    """The model's folder. Raises InputError where it holds no SAM model."""
    from ...knowledge.encoders.folder import ModelFolder

    class SamFolder(ModelFolder):
        def __post_init__(self) -> None:
            kind = self.model_type if (self.path / "config.json").is_file() else "no model"
            if kind != MODEL_TYPE:
                raise InputError(
                    expected="the folder of a SAM model, with config.json", got=f"{kind!r} in {str(self.path)!r}",
                    fix="name a folder with SAM or MedSAM weights in the format of transformers",
                )  # fmt: skip
            _ = self.weights

    return SamFolder(path)


@lru_cache(maxsize=2)
def _loaded(folder: Path, identity: str) -> Segmenter:
    """`identity` is in the cache's key alone: other weights in the same folder are read anew."""
    return Segmenter(folder)


def _run(arguments: PromptRequest, images: ImageStore) -> Prompted:
    if not arguments.model:
        raise ToolBrokenError(expected="the folder of a SAM model", got="none", fix=HOW)
    folder = Path(arguments.model)
    picture = as_picture(images.open(arguments.image))
    _check_prompt(arguments, picture.shape[1], picture.shape[0])
    if int(picture.max()) == int(picture.min()):
        raise _refused("a picture with something in it", "a picture of one colour", "name another image of the case")
    identity = sam_folder(folder).hash()
    mask, iou = _loaded(folder, identity).segment(arguments.image, picture, arguments.box, arguments.points)
    if not mask.any():
        raise _refused(
            "a prompt at which the model finds a region", "one at which it finds none", "move the box or the points"
        )
    return _told(arguments, images, picture, mask, iou, identity)


def _told(
    arguments: PromptRequest, images: ImageStore, picture: NDArray[np.uint8], mask: NDArray[np.bool_], iou: float,
    identity: str,
) -> Prompted:  # fmt: skip
    import numpy as np

    stored = images.put_mask(mask)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    spacing, area_mm2 = arguments.spacing_mm, None
    if spacing is not None:
        area_mm2 = measured(
            "region_area_mm2", float(mask.sum()) * spacing[0] * spacing[1], "mm2", "The prompted region covers {}.",
            digits=1, box_px=box, mask=stored,
        )  # fmt: skip
    notes = ["The region is what the prompt means to a general model: it names no finding and no tissue."]
    if iou < _DOUBTFUL_IOU:
        notes.append("The model itself doubts this outline: look at the overlay before using it.")
    inside = tuple((x, y) for x, y, kind in arguments.points if kind)
    drawn = [Drawn(mask=mask, label="region"), Drawn(box=arguments.box, points=inside, label="prompt")]
    return Prompted(
        region_area=measured(
            "region_area", 100.0 * float(mask.mean()), "%", "The prompted region covers {} of the picture.", digits=2,
            box_px=box, mask=stored,
        ),
        region_area_mm2=area_mm2,
        predicted_iou=measured(
            "predicted_iou", iou, "1", "The model expects its outline to overlap with the true one by {} (IoU).",
            digits=2, mask=stored,
        ),
        model=identity,
        overlay=images.put_picture(overlay(picture, drawn, spacing_mm=spacing)),
        limitations=tuple(notes),
    )  # fmt: skip


def _check_prompt(arguments: PromptArguments, width: int, height: int) -> None:
    """Raises ToolRefusedError for a prompt that means nothing in a picture of this size."""
    size, fix = f"a picture of {width} × {height} pixels", "state a box or a point inside it, in its pixels"
    if arguments.box is None and not any(inside for *_, inside in arguments.points):
        raise _refused("a box, or a point inside what is meant", "neither", fix)
    if arguments.box is not None:
        x0, y0, x1, y1 = arguments.box
        if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
            raise _refused(f"a box x0, y0, x1, y1 in {size}", str(list(arguments.box)), fix)
    stray = next((point for point in arguments.points if not (0 <= point[0] < width and 0 <= point[1] < height)), None)
    if stray is not None:
        raise _refused(f"points in {size}", str(list(stray[:2])), fix)


def _refused(expected: str, got: str, fix: str) -> ToolRefusedError:
    return ToolRefusedError(expected=expected, got=got, fix=fix)


def _tool(name: str, model: str) -> Tool:
    def check() -> None:
        from ...knowledge.encoders.neural import check_installed

        check_installed()
        if not model:
            raise MissingExtraError(expected="the weights of a SAM model", got="none, for none ship", fix=HOW)
        sam_folder(Path(model))

    return Tool(
        card=ToolCard(
            name=name,
            version=f"1.0.0+{sam_folder(Path(model)).hash()[:12]}" if model else "1.0.0",
            summary="Outlines what a box or points mean in any picture, with the weights of a SAM model.",
            measures=("region area in % of the picture and in mm2", "the overlap (IoU) the model expects"),
            modalities=(),
            shelf="neural",
            recommended=False,
            licence="Apache-2.0; the weights as their folder says",
            provenance="Segment Anything or MedSAM weights in a folder that a person names; none ship",
            extra="experts",
            limits=(
                "A wrong box gives a wrong region without a warning: the outline follows the prompt.",
                "Of a volume the middle slice is outlined.",
                "No figure was measured here: it depends on the weights.",
            ),
            timeout_s=300.0,
            memory_mb=8000,
        ),
        arguments=bound(PromptArguments, PromptRequest, model=model),
        output=Prompted,
        run=_run,
        check=check,
    )


def sam_tool(model: Path | str, *, name: str = NAME) -> Tool:
    """The tool with the weights in a folder, or on the hub as `hub:OWNER/NAME`, which downloads here and only here.

    Raises InputError where the folder holds no SAM model, MissingExtraError without torch, SetupError for a failed
    download.
    """
    from ...knowledge.encoders.neural import check_installed, fetched

    check_installed()
    given = str(model)
    folder = fetched(given.removeprefix("hub:")) if given.startswith("hub:") else Path(given).expanduser().resolve()
    if not folder.is_dir():
        raise InputError(expected="the folder of a SAM model", got=f"{given!r}, which is none", fix="check the path")
    return _tool(name, str(folder))


TOOL = _tool(NAME, "")
"""The tool before anyone has named weights: it says where they go."""
