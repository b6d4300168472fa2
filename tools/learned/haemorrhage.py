"""Blood inside the skull on a CT slice of the head: its outline, how much of the brain it takes, and its type.

It cannot say that there is none: every slice it was trained on shows some.

Method: the part of the slice that the head fills, at 192 px: its values against the median of the brain, its values as
they are, and what is taken for brain. A U-Net (Ronneberger et al., MICCAI 2015) gives for each pixel whether it is
blood, and which type then; the slice and its mirror image are averaged. Trained on slices of BHSD (Wu et al., MLMI
2023) by `polyclinic train haemorrhage`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...core.errors import ToolRefusedError
from ..card import Measurement, ScaledImageArguments, Tool, ToolCard, ToolOutput, measured
from ..pictures import Drawn, as_picture, overlay
from .cards import figures_of, weights_of
from .framing import Frame
from .network import Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

NAME = "haemorrhage"
TYPES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
_FINDINGS = {
    "epidural": "epidural-haematoma",
    "intraparenchymal": "intracerebral-haemorrhage",
    "subarachnoid": "subarachnoid-haemorrhage",
    "subdural": "subdural-haematoma",
}
SETTINGS: dict[str, Any] = {
    "side_px": 192,
    "margin": 0.04,
    "darkest_hu": 0.0,
    "brightest_hu": 255.0,
    "brightest_soft_hu": 120.0,
    "step_hu": 20.0,
    "darkest_against_hu": 30.0,
    "skin_hu": 12.0,
    "soft_hu": 160.0,
    "bone_hu": 200.0,
    "threshold": 0.5,
    "smallest_px": 6,
    "least_of_type": 0.1,
}
_SHORTEST_PX = 128
_LEAST_BRAIN = 0.15
_LEAST_SKULL = 0.5
_MOST_COLOUR = 10.0


class Haemorrhage(ToolOutput):
    """The area of the blood on the slice, its share of the brain, and the share of each type found."""

    blood_area: Measurement
    blood_share: Measurement
    types: tuple[Measurement, ...]


@dataclass(frozen=True, kw_only=True)
class Framed:
    """A slice as the network takes it, (3, side, side): against the brain's median, as it is, and what is brain."""

    x: NDArray[np.float32]
    frame: Frame


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What the network makes of a slice: how much each pixel is blood (H, W; 0 to 1), and which of TYPES, counted
    from 1, each pixel of blood is (H, W; 0 elsewhere)."""

    share: NDArray[np.float32]
    types: NDArray[np.uint8]


def brain_mask(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """What lies inside the skull (H, W) on a slice of HU (H, W), blood included; all False where nothing does."""
    import numpy as np
    from scipy import ndimage

    steps = max(1, round(max(hu.shape) / 85))
    soft = (hu > SETTINGS["skin_hu"]) & (hu < SETTINGS["soft_hu"])
    soft = ndimage.binary_fill_holes(soft) & (hu < SETTINGS["bone_hu"])
    labels, count = ndimage.label(ndimage.binary_erosion(soft, iterations=steps))
    if not count:
        return np.zeros(hu.shape, dtype=np.bool_)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    core = ndimage.binary_dilation(labels == int(sizes.argmax()), iterations=steps + 1)
    return np.asarray(core & (hu < SETTINGS["bone_hu"]) & (ndimage.gaussian_filter(hu, 1.0) > 8.0))


def skull_share(hu: NDArray[np.float32], brain: NDArray[np.bool_]) -> float:
    """Which share (0 to 1) of the border of `brain` (H, W) lies beside bone: most in a head, little in a belly."""
    from scipy import ndimage

    whole = ndimage.binary_fill_holes(brain)
    border = whole & ~ndimage.binary_erosion(whole)
    bone = ndimage.binary_dilation(hu >= SETTINGS["bone_hu"], iterations=max(1, round(max(hu.shape) / 42)))
    return float(bone[border].mean()) if border.any() else 0.0


def head_frame(hu: NDArray[np.float32]) -> Frame | None:
    """The square around the head on a slice of HU (H, W), the table left out; None without a head."""
    import numpy as np
    from scipy import ndimage

    steps = max(1, round(max(hu.shape) / 64))
    labels, count = ndimage.label(ndimage.binary_opening(hu > SETTINGS["skin_hu"], iterations=steps))
    if not count:
        return None
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    rows, columns = ndimage.find_objects((labels == int(sizes.argmax())).astype(np.uint8))[0]
    extent = max(rows.stop - rows.start, columns.stop - columns.start)
    side = extent + 2 * round(SETTINGS["margin"] * extent)
    return Frame(top=(rows.start + rows.stop - side) // 2, left=(columns.start + columns.stop - side) // 2, side=side)


def framed(hu: NDArray[np.float32]) -> Framed | None:
    """A slice of HU (H, W) as the network takes it; None where no head with a brain is seen."""
    import numpy as np

    clipped = np.clip(hu, SETTINGS["darkest_hu"], SETTINGS["brightest_hu"]).astype(np.float32)
    frame, brain = head_frame(clipped), brain_mask(clipped)
    if frame is None or float(brain.sum()) < _LEAST_BRAIN * frame.side**2 or skull_share(clipped, brain) < _LEAST_SKULL:
        return None
    middle = float(np.median(clipped[brain]))
    deep = SETTINGS["darkest_against_hu"]  # air becomes 0, as what lies beyond the picture
    against = np.maximum(np.minimum(clipped, SETTINGS["brightest_soft_hu"]) - middle, -deep) + deep
    maps = [against / SETTINGS["step_hu"], clipped / SETTINGS["brightest_hu"], brain]
    return Framed(x=frame.cut(np.stack(maps).astype(np.float32), SETTINGS["side_px"]), frame=frame)


def look(hu: NDArray[np.float32], network: Network) -> Seen | None:
    """What is found on a slice of HU (H, W); None where no head with a brain is seen."""
    import numpy as np
    from skimage.morphology import remove_small_objects

    part = framed(hu)
    if part is None:
        return None
    both = [network.run(x[None])[0][0] for x in (part.x, np.ascontiguousarray(part.x[:, :, ::-1]))]
    logits = (both[0] + both[1][:, :, ::-1]) / 2.0
    maps = np.concatenate([1.0 / (1.0 + np.exp(-np.clip(logits[:1], -30.0, 30.0))), logits[1:]], dtype=np.float32)
    maps = part.frame.put_back(maps, hu.shape)
    blood = maps[0] >= SETTINGS["threshold"]
    smallest = SETTINGS["smallest_px"] * (part.frame.side / SETTINGS["side_px"]) ** 2
    blood = remove_small_objects(blood, max_size=max(1, round(smallest)))
    return Seen(share=maps[0], types=np.where(blood, _types(maps[1:], blood), 0).astype(np.uint8))


def _types(logits: NDArray[np.float32], blood: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The type of each pixel, from 1: that of the pixels around it (5, H, W), so that one region has few types."""
    import numpy as np
    from scipy import ndimage

    sigma = max(1.0, max(blood.shape) / 128)
    near = [ndimage.gaussian_filter(np.where(blood, layer, 0.0), sigma) for layer in logits]
    return np.asarray(1 + np.argmax(near, axis=0), dtype=np.uint8)


def open_head(images: ImageStore, blob: str) -> tuple[NDArray[np.float32], NDArray[np.uint8], bool]:
    """A slice's HU (H, W), the picture (H, W, 3) to draw on, and whether the values are known to be HU.

    A picture of grey levels is read as HU from 0 to 255, as the training set is written.
    """
    import numpy as np

    pixels = images.open(blob)
    picture = as_picture(pixels)
    if min(picture.shape[:2]) < _SHORTEST_PX:
        raise _refused(f"a picture of {picture.shape[1]} × {picture.shape[0]} px")
    if float(np.percentile(np.ptp(picture.astype(np.int16), axis=2), 99)) > _MOST_COLOUR:
        raise _refused("a picture in colour")
    if pixels.unit == "HU":
        return pixels.array.astype(np.float32), picture, True
    if pixels.array.dtype != np.uint8:
        raise _refused("a picture of more than 256 grey levels whose unit is not known")
    grey = pixels.array.astype(np.float32)
    return (grey.mean(axis=2) if grey.ndim == 3 else grey), picture, False


def _run(arguments: ScaledImageArguments, images: ImageStore) -> Haemorrhage:
    import numpy as np

    hu, picture, known = open_head(images, arguments.image)
    seen = look(hu, Network.shipped(NAME))
    if seen is None:
        raise _refused("a picture without a skull and a brain in it")
    blood = seen.types > 0
    if not blood.any():
        raise _refused("a slice on which no region stands out as blood")
    spacing, unit = (arguments.spacing_mm or (1.0, 1.0)), ("mm" if arguments.spacing_mm else "px")
    mask, brain = images.put_mask(blood), brain_mask(np.clip(hu, 0.0, 255.0)) | blood
    amounts = np.bincount(seen.types.ravel(), minlength=len(TYPES) + 1)[1:]
    found = [k for k in np.argsort(-amounts, kind="stable") if amounts[k] >= SETTINGS["least_of_type"] * blood.sum()]
    return Haemorrhage(
        blood_area=measured(
            "blood_area", float(blood.sum()) * spacing[0] * spacing[1], f"{unit}2",
            "The region outlined as blood inside the skull covers {} of this slice.", digits=0, mask=mask,
        ),
        blood_share=measured(
            "blood_share", 100.0 * float(blood.sum()) / float(brain.sum()), "%",
            "Blood makes up {} of what lies inside the skull on this slice.", digits=1, mask=mask,
        ),
        types=tuple(
            measured(
                f"{TYPES[k]} blood", 100.0 * float(amounts[k]) / float(blood.sum()), "%",
                f"A trained model takes {{}} of the blood for {TYPES[k]} haemorrhage.", digits=0,
                mask=images.put_mask(seen.types == k + 1), finding=_FINDINGS.get(TYPES[k], ""),
                says="undecided" if TYPES[k] in _FINDINGS else "", of=("blood_area",),
            )
            for k in found
        ),
        overlay=images.put_picture(
            overlay(
                _bright(picture, hu),
                [Drawn(mask=seen.types == k + 1, label=TYPES[k]) for k in found],
                spacing_mm=arguments.spacing_mm,
            )
        ),
        limitations=(
            "It was trained on slices with blood alone: it cannot rule blood out, and outlines something on most.",
            *(() if known else ("The grey levels were read as Hounsfield units from 0 to 255.",)),
            *(() if arguments.spacing_mm else ("No pixel spacing is known: the area is in pixels.",)),
        ),
    )  # fmt: skip


def _bright(picture: NDArray[np.uint8], hu: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The picture (H, W, 3) in a window from 0 to 100 HU, in which blood is seen."""
    import numpy as np

    grey = np.clip(2.55 * hu, 0.0, 255.0).astype(np.uint8)
    return np.repeat(grey[..., None], picture.shape[2], axis=2)


def _refused(got: str) -> ToolRefusedError:
    return ToolRefusedError(
        expected="a CT slice of a head, in Hounsfield units or as grey levels from 0 to 255 HU",
        got=got,
        fix="give the DICOM original, name another image of the case, or ask without this tool",
    )


def _check() -> None:
    Network.shipped(NAME)


TOOL = Tool(
    card=ToolCard(
        name="haemorrhage",
        version="1.0.0",
        summary="Outlines blood inside the skull on a CT slice with a trained network, and says of which type it is.",
        measures=(
            "area of blood in mm2, or in px2 without a pixel spacing",
            "share of blood in % of what lies inside the skull",
            "share of epidural, intraparenchymal, intraventricular, subarachnoid and subdural blood in %",
        ),
        modalities=("ct",),
        body_parts=("brain", "head", "skull"),
        shelf="learned",
        provenance="a U-Net trained on 23 slices of BHSD by the recipe `haemorrhage`",
        weights=weights_of(NAME),
        figures=figures_of(NAME),
        limits=(
            "It cannot say that there is no blood: every slice it was trained on shows some.",
            "Trained on 23 slices: thin films of blood and small bleeds are mostly missed.",
            "Its types are not to be relied on: always naming intraparenchymal is right as often (see the figures), so "
            "it claims none of them.",
            "One slice at a time: blood is told from calcification by its brightness alone.",
        ),
    ),
    arguments=ScaledImageArguments,
    output=Haemorrhage,
    run=_run,
    check=_check,
)
