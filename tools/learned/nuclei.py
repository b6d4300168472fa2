"""Nuclei in a micrograph, one by one, by a trained network: how many, how large, how dense. It tells no cell types.

Method: a U-Net (Ronneberger et al., MICCAI 2015) gives for each pixel whether it is nucleus, and whether it lies in the
core of one, deeper than 0.4 of that nucleus's greatest depth; a watershed from the cores parts nuclei that touch. A
first look finds the magnification, a second is taken at the size the network knows best. Trained on BBBC038, the 2018
Data Science Bowl (Caicedo et al., Nat Methods 2019;16:1247-1253), by `polyclinic train nuclei`. Bright nuclei on a dark
ground (fluorescence) and dark ones on a bright ground (stains) are brought to one polarity.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.errors import ToolRefusedError
from ..card import Detection, ImageArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from ..classical.nucleus_shapes import no_nuclei, shapes, touching
from ..pictures import Drawn, overlay
from .cards import figures_of, weights_of
from .framing import resampled, run_whole
from .network import Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore, Pixels

NAME = "nuclei"
SETTINGS: dict[str, Any] = {
    "diameter_px": 24.0,
    "most_pixels": 1_000_000,
    "mirrored_up_to_pixels": 400_000,
    "dark_ground": 0.4,
    "foreground": 0.5,
    "core": 0.5,
    "smallest_core_share": 0.05,
    "smallest_share": 0.03,
    "smallest_px": 12,
}
_MULTIPLE, _AT_ONCE_PX = 16, 400_000
_LARGEST_CHANGE = 2.5
_SAME_SIZE = 1.25
_PURPLE = 0.75
_LARGEST, _LEAST_SOLIDITY, _MOST_NOTCHED = 0.4, 0.8, 0.35
"""See `nucleus_shapes`: wider than for glowing nuclei, for stained ones crowd."""
_LEAST_SURE = 0.8


class Nuclei(ToolOutput):
    """Nuclei: count, share of the picture, median diameter, how many there are per megapixel, and where each lies.

    In the count's mask a dark line parts nuclei that touch, so that each is a region of its own.
    """

    nuclei_count: Measurement
    nuclei_area: Measurement
    nucleus_size: Measurement
    nuclei_density: Measurement
    detections: tuple[Detection, ...]


def signal(picture: NDArray[Any]) -> NDArray[np.float32]:
    """A picture (H, W) or (H, W, 3) as (3, H, W), about 0 to 1, in which nuclei are bright on a dark ground."""
    import numpy as np

    array = np.asarray(picture, dtype=np.float32)
    array = np.repeat(array[..., None], 3, axis=2) if array.ndim == 2 else array
    maps = np.ascontiguousarray(np.moveaxis(array, -1, 0))
    maps = maps - min(0.0, float(maps.min()))
    if bright_ground(array):
        maps = maps.max() - maps
    low, high = (float(value) for value in np.percentile(maps, (1.0, 99.8)))
    return np.asarray(np.clip((maps - low) / max(high - low, 1e-6), 0.0, 1.5), dtype=np.float32)


def bright_ground(picture: NDArray[Any]) -> bool:
    """Whether the median of a picture (H, W) or (H, W, 3) is near its brightest parts, as in stained slides."""
    import numpy as np

    grey = picture.mean(axis=2) if picture.ndim == 3 else picture
    ground, brightest = (float(value) for value in np.percentile(grey, (50.0, 99.9)))
    return bool(ground > SETTINGS["dark_ground"] * max(brightest, 1e-6))


def nuclei(picture: NDArray[Any], network: Network) -> NDArray[np.int32]:
    """Labels (H, W) of the nuclei in a picture (H, W) or (H, W, 3), 1 to their number; 0 is background."""
    return parted(look(picture, network))


def look(picture: NDArray[Any], network: Network) -> NDArray[np.float32]:
    """The network's two maps of logits (2, H, W) for a picture (H, W) or (H, W, 3), at the size it knows best.

    Those of a picture that is not large are the mean over its mirror images.
    """
    import numpy as np

    x = signal(picture)
    fitting = min(1.0, (SETTINGS["most_pixels"] / x[0].size) ** 0.5)
    logits = _at_scale(x, fitting, network)
    diameter = inscribed_diameter(logits[0] > 0.0)
    if diameter:
        wanted = min(max(SETTINGS["diameter_px"] / diameter, 1.0 / _LARGEST_CHANGE), _LARGEST_CHANGE)
        wanted = min(wanted, (SETTINGS["most_pixels"] / x[0].size) ** 0.5)
        if max(wanted / fitting, fitting / wanted) > _SAME_SIZE:
            fitting, logits = wanted, _at_scale(x, wanted, network)
    if x[0].size * fitting**2 > SETTINGS["mirrored_up_to_pixels"]:
        return logits
    ways = ((-1, 1), (1, -1), (-1, -1))
    mirrored = [_at_scale(np.ascontiguousarray(x[:, ::down, ::along]), fitting, network) for down, along in ways]
    back = [maps[:, ::down, ::along] for maps, (down, along) in zip(mirrored, ways, strict=True)]
    return np.asarray(np.mean([logits, *back], axis=0), dtype=np.float32)


def _at_scale(x: NDArray[np.float32], scale: float, network: Network) -> NDArray[np.float32]:
    """The network's maps (2, H, W) of what it sees of (3, H, W) scaled by `scale`."""
    height, width = x.shape[1:]
    seen = resampled(x, (max(1, round(height * scale)), max(1, round(width * scale))))
    (maps,) = run_whole(network, seen, multiple=_MULTIPLE, most_pixels=_AT_ONCE_PX)
    return resampled(maps, (height, width))


def inscribed_diameter(inside: NDArray[np.bool_]) -> float:
    """About the diameter in px of a typical nucleus, touching or not, from the discs that fit into `inside` (H, W).

    A nucleus is taken to be 1.3 times as long as wide; 0.0 without any.
    """
    import numpy as np
    from scipy import ndimage

    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(inside), 1.0)
    peaks = depth[(depth == ndimage.maximum_filter(depth, size=7)) & (depth > 2.0)]
    if not peaks.size:
        return 0.0
    middle = np.searchsorted(np.cumsum(np.sort(peaks)), 0.5 * peaks.sum())  # crumbs weigh little
    return float(2.0 * np.sqrt(1.3) * np.sort(peaks)[middle])


def parted(logits: NDArray[np.float32]) -> NDArray[np.int32]:
    """Labels (H, W) from two maps of logits (2, H, W): nucleus or not, core of a nucleus or not."""
    import numpy as np
    from scipy import ndimage
    from skimage.segmentation import watershed

    share, core = 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))
    inside = ndimage.binary_fill_holes(share > SETTINGS["foreground"])
    cores, _ = ndimage.label(inside & (core > SETTINGS["core"]))
    area = 0.25 * np.pi * inscribed_diameter(inside) ** 2
    large = np.bincount(cores.ravel()) >= SETTINGS["smallest_core_share"] * area
    cores = np.where(large[cores], cores, 0)
    labels = watershed(-core, cores, mask=inside)
    rest, _ = ndimage.label(inside & (labels == 0))  # a nucleus too small or too blurred to have a core
    labels = np.where(rest > 0, rest + labels.max(), labels)
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    typical = float(np.median(areas[areas > 0])) if areas.any() else 0.0
    kept = areas >= max(SETTINGS["smallest_px"], SETTINGS["smallest_share"] * typical)
    kept[0] = False
    return np.asarray((np.cumsum(kept) * kept)[labels], dtype=np.int32)


def median_diameter(labels: NDArray[np.int32]) -> float:
    """The diameter in px of a disc with the median area; 0.0 without any."""
    import numpy as np

    areas = np.bincount(labels.ravel())[1:]
    return float(2.0 * np.sqrt(np.median(areas[areas > 0]) / np.pi)) if areas.any() else 0.0


def detected(labels: NDArray[np.int32], logits: NDArray[np.float32]) -> tuple[Detection, ...]:
    """Each nucleus of `labels` (H, W) with its box, and its mean share by the network's `logits` (H, W)."""
    import numpy as np
    from scipy import ndimage

    places = ndimage.find_objects(labels)
    shares = ndimage.mean(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))), labels, np.arange(1, len(places) + 1))
    return tuple(
        Detection(
            label="nucleus",
            box_px=(columns.start, rows.start, columns.stop, rows.stop),
            score=round(min(1.0, float(share)), 3),
        )
        for (rows, columns), share in zip(places, shares, strict=True)
    )


def purple_share(rgb: NDArray[Any], found: NDArray[np.bool_]) -> float:
    """The share (0 to 1) of the pixels in `found` (H, W) that have more blue than green, as haematoxylin has."""
    return float((rgb[..., 2] > rgb[..., 1])[found].mean())


def surety(logits: NDArray[np.float32], found: NDArray[np.bool_]) -> float:
    """The network's mean share (0 to 1) of nucleus by `logits` (H, W) where nuclei were `found` (H, W)."""
    import numpy as np

    return float((1.0 / (1.0 + np.exp(-np.clip(logits[found], -30.0, 30.0)))).mean())


def _open_micrograph(images: ImageStore, blob: str) -> Pixels:
    import numpy as np

    pixels = images.open(blob)
    low, high = np.percentile(pixels.array, (0.5, 99.9))
    if pixels.unit == "HU":
        raise _refused("a CT picture")
    if min(pixels.array.shape[:2]) < 64:
        raise _refused("a picture less than 64 px wide or high")
    if float(high - low) <= (8.0 if pixels.array.dtype == np.uint8 else 1e-6):
        raise _refused("a picture of one even tone")
    return pixels


def _run(arguments: ImageArguments, images: ImageStore) -> Nuclei:
    from ..pictures import as_picture

    pixels = _open_micrograph(images, arguments.image)
    logits = look(pixels.array, Network.shipped(NAME))
    labels = parted(logits)
    count = int(labels.max())
    if not count:
        raise _refused("a picture in which no nucleus stands out")
    found = labels > 0
    if pixels.unit == "rgb" and bright_ground(pixels.array) and purple_share(pixels.array, found) < _PURPLE:
        raise _refused("a picture whose dark parts are not blue or purple, as nuclei on a stained slide are")
    if wrong := no_nuclei(shapes(labels), largest=_LARGEST, solidity=_LEAST_SOLIDITY, notched=_MOST_NOTCHED):
        raise _refused(wrong)
    if surety(logits[0], found) < _LEAST_SURE:
        raise _refused("a picture whose regions the network is unsure of")
    height, width = labels.shape
    error = _count_error()
    density = float(round(1e6 * count / (height * width)))
    return Nuclei(
        nuclei_count=measured(
            "nuclei_count", count, "1",
            f"{{}} {'nucleus was' if count == 1 else 'nuclei were'} counted in the picture.", digits=0,
            mask=images.put_mask(found & ~touching(labels)),
            uncertainty=None if error is None else max(1.0, round(error * count, 0)),
        ),
        nuclei_area=measured(
            "nuclei_area", 100.0 * float(found.mean()), "%", "Nuclei cover {} of the picture.", digits=1,
        ),
        nucleus_size=measured(
            "nucleus_size", median_diameter(labels), "px", "The median nucleus is {} across.", digits=0,
        ),
        nuclei_density=Measurement(
            name="nuclei_density", value=density, unit="1/Mpx", of=("nuclei_count",),
            text=f"The density of nuclei is {density:.0f} per megapixel of the picture.",
        ),
        detections=detected(labels, logits[0]),
        overlay=images.put_picture(_bordered(as_picture(pixels), labels)),
        limitations=("Crowded or overlapping nuclei are counted together or split: read the count as approximate.",),
    )  # fmt: skip


def _bordered(picture: NDArray[np.uint8], labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """The picture, made visible where it is dark, with the border of every nucleus, also between two that touch."""
    import numpy as np

    if bright_ground(picture):
        return overlay(picture, [Drawn(instances=labels, label="nuclei", colour=(0, 255, 0))])
    stretched = picture.astype(np.float32) * (255.0 / max(1.0, float(np.percentile(picture, 99.8))))
    shown = np.clip(stretched, 0.0, 255.0).astype(np.uint8)
    return overlay(shown, [Drawn(instances=labels, label="nuclei", colour=(255, 220, 0))])


def _refused(got: str) -> ToolRefusedError:
    return ToolRefusedError(
        expected="a micrograph with nuclei, stained or fluorescent",
        got=got,
        fix="name another image of the case, or ask without this tool",
    )


COUNT_ERROR = "nuclei count, mean relative error"


def _count_error() -> float | None:
    """The worst of the card's mean relative errors, 0 to 1."""
    return max((figure.value for figure in figures_of(NAME) if figure.metric == COUNT_ERROR), default=None)


def _check() -> None:
    Network.shipped(NAME)


TOOL = Tool(
    card=ToolCard(
        name="nuclei",
        version="1.0.0",
        summary="Finds nuclei one by one in a stained or fluorescence micrograph with a trained network.",
        measures=("nuclei count", "nuclei area in %", "nucleus diameter in px", "nuclei per megapixel"),
        modalities=("histology", "microscopy"),
        shelf="learned",
        provenance="a U-Net trained on BBBC038 by the recipe `nuclei`",
        weights=weights_of(NAME),
        figures=figures_of(NAME),
        limits=(
            "No cell types and no grading. Brown immunostain (DAB) hides nuclei: such pictures are refused.",
            "Its thresholds were chosen among forty settings on the folds' own pictures: the figures are a little "
            "optimistic. Counts of stained nuclei are off by a quarter (nine pictures).",
            "Pictures of one slide may be in several folds: the set does not say which belong together.",
            "Nuclei less than about 8 px across are missed or merged.",
            "It may count what is no nucleus: stated as micrographs, 15 of 40 chest X-rays, 9 of 48 colonoscopies and "
            "4 of 40 ultrasound pictures were not refused.",
        ),
    ),
    arguments=ImageArguments,
    output=Nuclei,
    run=_run,
    check=_check,
)
