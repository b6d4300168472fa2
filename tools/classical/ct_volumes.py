"""What a CT volume is made of, in millilitres: lung, other gas, fat, soft tissue and bone by Hounsfield units.

Ranges as in `hounsfield` (Mitsiopoulos et al., J Appl Physiol 1998;85:115-122). Lung is what lies below -400 HU inside
the body in pieces that are not mere gas (after Hu, Hoffman & Reinhardt, IEEE Trans Med Imaging 2001;20:490-498): the
interior of bowel gas and of the windpipe is near -1000 HU, that of lung is not. Vessels inside the lung belong to it.
Volumes of more than 12 million voxels are thinned out evenly first. It names no organ but the lung, and no disease.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import InputError, ToolRefusedError
from ..card import Figure, ImageArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from ..imaging.pixels import Pixels
from ..pictures import COLOURS, Drawn, as_picture, enlarged, overlay
from .hounsfield import AIR_BELOW_HU, FAT_BELOW_HU, SOFT_BELOW_HU, body_mask, lacks_air_and_fat

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore, Volume

_MOST_VOXELS = 12_000_000
_LUNG_BELOW_HU, _GAS_BELOW_HU = -400.0, -950.0
_LEAST_LUNG_ML, _LEAST_GAS_ML = 20.0, 1.0
_AIRWAY_CM2, _AIRWAY_OFF_MIDLINE = 8.0, 0.15


class Composition(ToolOutput):
    """Volumes in ml inside the body, the lung's mean attenuation and its share below -950 HU, where there is lung."""

    body: Measurement
    lung: Measurement | None = None
    lung_attenuation: Measurement | None = None
    low_attenuation: Measurement | None = None
    other_gas: Measurement
    fat: Measurement
    soft_tissue: Measurement
    bone: Measurement


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A volume (Z, Y, X) in HU, as it was worked on, with its spacing (z, y, x) in mm, the body in it and the lung."""

    hu: NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    body: NDArray[np.bool_]
    lung: NDArray[np.bool_]

    @property
    def voxel_ml(self) -> float:
        deep, down, across = self.spacing_mm
        return deep * down * across / 1000.0


def parts(hu: NDArray[np.float32], spacing_mm: tuple[float, float, float]) -> Parts:
    """Body and lung of a volume (Z, Y, X) in HU; `spacing_mm` is (z, y, x)."""
    import numpy as np

    body = np.stack([body_mask(layer) for layer in hu])
    voxel_ml = float(np.prod(spacing_mm)) / 1000.0
    return Parts(hu=hu, spacing_mm=spacing_mm, body=body, lung=_lung(hu, body, spacing_mm, voxel_ml))


def _lung(
    hu: NDArray[np.float32], body: NDArray[np.bool_], spacing_mm: tuple[float, float, float], voxel_ml: float
) -> NDArray[np.bool_]:
    import numpy as np
    from scipy import ndimage

    airy = body & (hu < _LUNG_BELOW_HU)
    airy &= ~_airway(hu, airy, body, spacing_mm, voxel_ml)
    labels, count = ndimage.label(airy)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    lung = np.zeros(body.shape, dtype=np.bool_)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if sizes[number] * voxel_ml < _LEAST_LUNG_ML:
            continue
        piece = labels[box] == number
        deep = ndimage.binary_erosion(piece)
        if deep.any() and float(np.median(hu[box][deep])) > _GAS_BELOW_HU:
            lung[box] |= piece
    around = [max(1, round(6.0 / step)) for step in spacing_mm[1:]]  # vessels up to about 12 mm across are closed over
    for place in np.flatnonzero(lung.any(axis=(1, 2))):
        closed = ndimage.binary_closing(np.pad(lung[place], 12), np.ones([2 * side + 1 for side in around]))
        lung[place] |= ndimage.binary_fill_holes(closed[12:-12, 12:-12])
    return lung & body & (hu < SOFT_BELOW_HU)


def _airway(
    hu: NDArray[np.float32],
    airy: NDArray[np.bool_],
    body: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    voxel_ml: float,
) -> NDArray[np.bool_]:
    """The windpipe and main bronchi: pieces of pure gas near the body's middle, and narrow on every slice."""
    import numpy as np
    from scipy import ndimage

    labels, _ = ndimage.label(airy & (hu < _GAS_BELOW_HU))
    middle = float(np.flatnonzero(body.any(axis=(0, 1))).mean()) if body.any() else 0.0
    width = max(1, int(body.any(axis=(0, 1)).sum()))
    sizes = np.bincount(labels.ravel())
    airway = np.zeros(body.shape, dtype=np.bool_)
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if sizes[number] * voxel_ml < _LEAST_GAS_ML:
            continue
        piece = labels[box] == number
        columns = np.nonzero(piece)[2] + box[2].start
        widest_cm2 = float(piece.sum(axis=(1, 2)).max()) * spacing_mm[1] * spacing_mm[2] / 100.0
        if widest_cm2 < _AIRWAY_CM2 and abs(float(columns.mean()) - middle) < _AIRWAY_OFF_MIDLINE * width:
            airway[box] |= piece
    wall = max(1, round(2.0 / spacing_mm[1]))
    return np.asarray(ndimage.binary_dilation(airway, iterations=wall) if airway.any() else airway, dtype=np.bool_)


def _opened(images: ImageStore, blob: str) -> Volume:
    try:
        volume = images.open_volume(blob)
    except InputError as error:
        raise _refused(str(error.got)) from None
    if volume.unit != "HU":
        raise _refused("a volume whose values are not Hounsfield units")
    if volume.spacing_mm is None:
        raise _refused("a volume whose spacing is unknown or uneven")
    if volume.axes and volume.axes[0] not in "SI":
        raise _refused("slices that do not run from head to feet")
    return volume


def _thinned(volume: Volume) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """The volume's values, every n-th of them along the axes where they lie closest until they are few enough."""
    import numpy as np

    assert volume.spacing_mm is not None  # `_opened` has refused those
    steps = [1, 1, 1]
    spacing = list(volume.spacing_mm)
    while np.prod([-(-side // step) for side, step in zip(volume.array.shape, steps, strict=True)]) > _MOST_VOXELS:
        axis = min(range(3), key=lambda axis: spacing[axis])
        steps[axis] += 1
        spacing[axis] = volume.spacing_mm[axis] * steps[axis]
    return volume.array[:: steps[0], :: steps[1], :: steps[2]].astype(np.float32), (spacing[0], spacing[1], spacing[2])


def _run(arguments: ImageArguments, images: ImageStore) -> Composition:
    import numpy as np

    volume = _opened(images, arguments.image)
    thinned, spacing_mm = _thinned(volume)
    if lacks_air_and_fat(thinned):
        raise _refused("values among which there is neither air nor fat, so no Hounsfield units (an MR?)")
    found = parts(thinned, spacing_mm)
    if float(found.body.mean()) < 0.02:
        raise _refused("a volume with hardly any body in it")
    inside = found.hu[found.body & ~found.lung & ~_skin(found)]
    edges = (-np.inf, AIR_BELOW_HU, FAT_BELOW_HU, SOFT_BELOW_HU, np.inf)
    gas, fat, soft, bone = (float(count) * found.voxel_ml for count in np.histogram(inside, bins=edges)[0])
    lung = found.hu[found.lung]
    shown = int((found.lung if lung.size else found.body).sum(axis=(1, 2)).argmax())
    whole = (volume.array.shape[1], volume.array.shape[2])
    body_mask_id, lung_mask_id = (images.put_mask(_whole(part[shown], whole)) for part in (found.body, found.lung))
    across = None if volume.spacing_mm is None else volume.spacing_mm[1:]
    return Composition(
        body=measured("body volume", float(found.body.sum()) * found.voxel_ml, "mL",
                      "The scanned part of the body measures {}.", digits=0, mask=body_mask_id),
        lung=measured("lung volume", lung.size * found.voxel_ml, "mL",
                      "The lungs within the scan measure {}, vessels included.", digits=0, mask=lung_mask_id)
        if lung.size else None,
        lung_attenuation=measured("mean lung attenuation", float(lung.mean()), "HU",
                                  "The lungs' mean attenuation is {}.", digits=0, of=("lung volume",))
        if lung.size else None,
        low_attenuation=measured("lung below -950 HU", 100.0 * float((lung < _GAS_BELOW_HU).mean()), "%",
                                 "{} of the lung's volume lies below -950 HU.", digits=1, of=("lung volume",))
        if lung.size else None,
        other_gas=measured("gas outside the lungs", gas, "mL", "Gas outside the lungs, as in bowel and airways, "
                           "measures {}.", digits=0),
        fat=measured("fat volume", fat, "mL", "Fat within the scan measures {}.", digits=0),
        soft_tissue=measured("soft tissue volume", soft, "mL", "Water and soft tissue within the scan measure {}.",
                             digits=0),
        bone=measured("bone volume", bone, "mL", "Bone, calcification or contrast medium within the scan measure {}.",
                      digits=0),
        overlay=images.put_picture(
            overlay(_drawn(volume, found, shown), _regions(found, shown, whole), spacing_mm=across)
        ),
        limitations=_limitations(found, volume, shown),
    )  # fmt: skip


def _skin(found: Parts) -> NDArray[np.bool_]:
    """The outermost voxels of the body that are half air: neither gas nor tissue."""
    import numpy as np
    from scipy import ndimage

    plane = ndimage.generate_binary_structure(2, 1)[None]
    deep = ndimage.binary_erosion(found.body, plane, iterations=2, border_value=1)
    return np.asarray(found.body & ~deep & (found.hu < AIR_BELOW_HU), dtype=np.bool_)


def _whole(mask: NDArray[np.bool_], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A slice's mask at the size of the volume's slices."""
    import numpy as np

    return enlarged(mask.astype(np.uint8), shape) > 0


def _drawn(volume: Volume, found: Parts, shown: int) -> NDArray[np.uint8]:
    """The slice of the volume that is slice `shown` of the thinned one."""
    import numpy as np

    step = -(-len(volume.array) // len(found.hu))
    return as_picture(Pixels(array=volume.array[shown * step].astype(np.float32), unit="HU"))


def _regions(found: Parts, shown: int, whole: tuple[int, int]) -> list[Drawn]:
    hu, body = found.hu[shown], found.body[shown]
    gas = body & ~found.lung[shown] & (hu < AIR_BELOW_HU) & ~_skin(found)[shown]
    regions = [
        Drawn(mask=_whole(body, whole), label="body", colour=COLOURS[3]),
        Drawn(mask=_whole(found.lung[shown], whole), label="lung", colour=COLOURS[0]),
        Drawn(mask=_whole(gas, whole), label="other gas", colour=COLOURS[2]),
        Drawn(mask=_whole(body & (hu >= SOFT_BELOW_HU), whole), label="bone", colour=COLOURS[1]),
    ]
    return [region for region in regions if region.mask is not None and region.mask.any()]


def _limitations(found: Parts, volume: Volume, shown: int) -> tuple[str, ...]:
    import numpy as np

    depth = shown * -(-len(volume.array) // len(found.hu)) + 1
    said = [f"Masks and overlay show one slice, number {depth} of {len(volume.array)}; volumes are of all."]
    if found.lung.any():
        ends = [bool(found.lung[end].any()) for end in (0, -1)]
        if np.any(ends):
            said.append("The lungs reach the end of the scan: their volume is that of the scanned part.")
    else:
        said.append("No lung was found in the scan.")
    return tuple(said)


def _refused(got: str) -> ToolRefusedError:
    return ToolRefusedError(
        expected="a CT volume in Hounsfield units of known, even spacing (a NIfTI file or a folder with a series)",
        got=got,
        fix="give the whole series, or ask without this tool",
    )


TOOL = Tool(
    card=ToolCard(
        name="ct_volumes",
        version="1.0.0",
        summary="Measures lung, gas, fat, soft tissue and bone of a CT volume in millilitres, by Hounsfield units.",
        measures=("volumes in mL", "mean lung attenuation in HU", "share of the lung below -950 HU in %"),
        modalities=("ct",),
        volumes_only=True,
        figures=(
            Figure(
                metric="Dice of the lung with TotalSegmentator's reference output, itself a model's",
                value=0.966,
                dataset="TotalSegmentator example",
                n=1,
            ),
        ),
        limits=(
            "Checked against one volume only, which shows the lungs' bases, so neither the windpipe nor the apices.",
            "The lung's border is a threshold: consolidated lung, effusion and tumour do not count as lung.",
            "Bullae near the midline may be taken for airway; lung that is nearly all gas for bowel.",
            "Values without any air or fat are refused as no Hounsfield units; so is a volume cut to the brain alone.",
            "Arms and a head-rest that touch the body count as body; contrast medium counts as bone.",
        ),
        timeout_s=60.0,
    ),
    arguments=ImageArguments,
    output=Composition,
    run=_run,
)
