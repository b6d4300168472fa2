"""The ABCD rule on a dermoscopic picture, as far as pixels allow: asymmetry, border, colours. It diagnoses nothing.

Source: Stolz et al., Eur J Dermatol 1994;4:521-527; Nachbar et al., J Am Acad Dermatol 1994;30:551-559: TDS = 1.3 A
(0 to 2) + 0.1 B (0 to 8) + 0.5 C (1 to 6) + 0.5 D (1 to 5). D, the differential structures (network, dots, globules,
streaks, structureless areas), is not measured: the score is given as the range over all D, and as a score only where
that range leaves no doubt about its class. Hairs are closed over first (Lee et al., Comput Biol Med 1997;27:533-543);
the lesion is what is darker than the skin by Otsu's threshold. Works at a long side of 512 px.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...core.errors import ToolRefusedError
from ..card import Figure, Measurement, ScaledImageArguments, Tool, ToolCard, ToolOutput, measured
from ..imaging.raster import resized
from ..pictures import COLOURS, Drawn, overlay
from .lesion_size import axes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..imaging.store import ImageStore

_SIDE_PX = 512
_SIZES, _MOST_CUT = (0.01, 0.75), 0.25
_FOLD_SHAPE, _FOLD_COLOUR = 0.2, 12.0
_ABRUPT = 0.5
_COLOUR_SHARE = 0.05
_LEAST_STEP = 8.0
_STRUCTURES = (1, 5)
SUSPICIOUS, MELANOMA = 4.75, 5.45
"""TDS below the first is benign, above the second highly suspicious (Nachbar 1994)."""

COLOUR_NAMES = ("white", "red", "light brown", "dark brown", "blue-grey", "black")


class DermoscopyAbcd(ToolOutput):
    """A, B and C with what they were counted from, the range of the score, and the score where D does not matter."""

    asymmetry: Measurement
    border: Measurement
    colours: Measurement
    lowest_score: Measurement
    highest_score: Measurement
    score: Measurement | None = None
    diameter: Measurement | None = None


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """A lesion's mask (H, W), its Lab colours (H, W, 3) without hairs, and the skin's Lab colour around it."""

    mask: NDArray[np.bool_]
    lab: NDArray[np.float64]
    skin: NDArray[np.float64]


def find_lesion(rgb: NDArray[np.uint8]) -> Lesion:
    """The dark lesion on the skin in uint8 RGB (H, W, 3). Raises ToolRefusedError for anything else."""
    import numpy as np
    from scipy import ndimage
    from skimage.color import rgb2lab
    from skimage.filters import threshold_otsu

    rgb = _without_hairs(rgb)
    lit = _lit(rgb)
    if lit.mean() < 0.6:
        raise _refused("a picture of which much is black")
    lab = rgb2lab(rgb)
    lab = ndimage.gaussian_filter(lab, (2.0, 2.0, 0.0))
    dark = lab[..., 0]
    limit = float(threshold_otsu(dark[lit]))
    skin = np.median(lab[lit & (dark > limit)], axis=0)
    _check_skin(skin)
    found = ndimage.binary_opening(lit & (dark < limit), iterations=3)
    labels, count = ndimage.label(ndimage.binary_fill_holes(found))
    if not count:
        raise _refused("skin on which no darker region stands out")
    rows, columns = np.mgrid[: dark.shape[0], : dark.shape[1]]
    central = np.exp(-(((rows / dark.shape[0] - 0.5) / 0.35) ** 2) - ((columns / dark.shape[1] - 0.5) / 0.35) ** 2)
    mass = np.bincount(labels.ravel(), weights=central.ravel())[1:]
    mask = ndimage.binary_closing(np.pad(labels == 1 + int(mass.argmax()), 6), iterations=5)[6:-6, 6:-6]
    mask = ndimage.binary_fill_holes(mask)
    step = float(skin[0] - lab[mask][:, 0].mean())
    if step < _LEAST_STEP or not _SIZES[0] < float(mask.mean()) < _SIZES[1]:
        raise _refused("skin on which no single darker region stands out")
    edge = np.zeros_like(mask)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    border = mask & ~ndimage.binary_erosion(mask)
    if float((border & edge).sum()) > _MOST_CUT * float(border.sum()):
        raise _refused("a lesion that the picture's edge cuts off")
    return Lesion(mask=np.asarray(mask, dtype=np.bool_), lab=lab, skin=skin)


def _lit(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """All but the dark corners that a dermoscope leaves."""
    import numpy as np
    from scipy import ndimage

    labels, _ = ndimage.label(rgb.max(axis=2) <= 40)
    corners = labels[[0, 0, -1, -1], [0, -1, 0, -1]]
    dark = np.isin(labels, corners[corners > 0])
    return np.asarray(ndimage.binary_erosion(~dark, iterations=3, border_value=1), dtype=np.bool_)


def _without_hairs(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture with thin dark lines replaced by what lies beside them."""
    import numpy as np
    from scipy import ndimage

    closed = ndimage.grey_closing(rgb, size=(11, 11, 1))
    thin = (closed.astype(np.int16) - rgb).min(axis=2) > 25
    wide = ndimage.binary_opening(thin, np.ones((7, 7)))
    hairs = ndimage.binary_dilation(thin & ~wide)
    return np.where(hairs[..., None], closed, rgb).astype(np.uint8)


def _check_skin(skin: NDArray[np.float64]) -> None:
    """Skin under a dermoscope is light to brown, and reddish to yellowish; paper, glass, slime and retina are not."""
    light, red, yellow = (float(value) for value in skin)
    chroma = (red**2 + yellow**2) ** 0.5
    if not (30.0 < light < 92.0 and 2.0 < red < 24.0 and 0.0 < yellow < 28.0 and 8.0 < chroma < 36.0):
        raise _refused("a picture whose background has no colour of skin")


def asymmetry(lesion: Lesion) -> tuple[int, tuple[float, float]]:
    """A, the number of the two main axes about which shape or colour differ, and the shape's share that differs."""
    import numpy as np
    from scipy import ndimage

    rows, columns = np.nonzero(lesion.mask)
    middle = np.array([rows.mean(), columns.mean()])
    places = np.stack([rows, columns]) - middle[:, None]
    _, vectors = np.linalg.eigh(np.cov(places))
    count, shares = 0, []
    for along in vectors.T[::-1]:
        across = np.array([-along[1], along[0]])
        mirrored = (np.outer(along, along) - np.outer(across, across)) @ places + middle[:, None]
        inside = ndimage.map_coordinates(lesion.mask.astype(np.float32), mirrored, order=1) > 0.5
        share = 2.0 * float((~inside).mean())  # folded over, both halves stick out alike
        light, red, yellow = (
            ndimage.map_coordinates(lesion.lab[..., plane], mirrored, order=1, mode="nearest") for plane in range(3)
        )
        own = lesion.lab[rows, columns]
        apart = np.sqrt((own[:, 0] - light) ** 2 + (own[:, 1] - red) ** 2 + (own[:, 2] - yellow) ** 2)
        colour = float(apart[inside].mean()) if inside.any() else 0.0
        count += int(share > _FOLD_SHAPE or colour > _FOLD_COLOUR)
        shares.append(share)
    return count, (shares[0], shares[1])


def border(lesion: Lesion) -> int:
    """B, in how many of eight sectors the pigment ends abruptly: half its step to the skin within a twentieth of the
    lesion's width on either side of the border."""
    import numpy as np
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(lesion.mask) - ndimage.distance_transform_edt(~lesion.mask)
    radius = float(np.sqrt(lesion.mask.sum() / np.pi))
    rows, columns = np.nonzero(lesion.mask)
    y, x = np.mgrid[: depth.shape[0], : depth.shape[1]]
    sector = np.floor((np.arctan2(y - rows.mean(), x - columns.mean()) + np.pi) / (np.pi / 4.0)).astype(int) % 8
    light, near = lesion.lab[..., 0], 0.1 * radius
    abrupt = 0
    for number in range(8):
        here = sector == number
        bands = ((-0.5 * radius, -0.3 * radius), (-near, 0.0), (0.0, near), (0.3 * radius, 0.6 * radius))
        values = [light[here & (depth > low) & (depth <= high)] for low, high in bands]
        if any(band.size == 0 for band in values):
            continue
        skin, outer, inner, core = (float(band.mean()) for band in values)
        abrupt += int(skin - core > _LEAST_STEP and outer - inner > _ABRUPT * (skin - core))
    return abrupt


def colours(lesion: Lesion) -> tuple[str, ...]:
    """C: which of the rule's six colours cover at least a twentieth of the lesion, judged against the skin."""
    import numpy as np

    light, red, yellow = lesion.lab[lesion.mask].T
    white = (light > lesion.skin[0] + 4.0) & (np.hypot(red, yellow) < np.hypot(*lesion.skin[1:]))
    black = ~white & (light < 16.0)
    blue = ~white & ~black & (yellow < min(2.0, float(lesion.skin[2]) - 8.0)) & (red < 15.0)
    reddish = ~white & ~black & ~blue & (red > 1.4 * np.maximum(yellow, 1.0)) & (red > lesion.skin[1] + 8.0)
    brown = ~(white | black | blue | reddish)
    pale = brown & (light > lesion.skin[0] - 6.0)  # hardly darker than the skin: no pigment
    light_brown, dark_brown = brown & ~pale & (light >= 38.0), brown & ~pale & (light < 38.0)
    found = (white, reddish, light_brown, dark_brown, blue, black)
    named = tuple(name for name, where in zip(COLOUR_NAMES, found, strict=True) if where.mean() >= _COLOUR_SHARE)
    return named or ("light brown",)


def _run(arguments: ScaledImageArguments, images: ImageStore) -> DermoscopyAbcd:
    import numpy as np

    pixels = images.open(arguments.image)
    if pixels.unit != "rgb":
        raise _refused("a picture without colour")
    rgb = pixels.array.astype(np.uint8, copy=False)
    scale = min(1.0, _SIDE_PX / max(rgb.shape[:2]))
    lesion = find_lesion(resized(rgb, (max(1, round(rgb.shape[0] * scale)), max(1, round(rgb.shape[1] * scale)))))
    (a, shares), b, named = asymmetry(lesion), border(lesion), colours(lesion)
    without = 1.3 * a + 0.1 * b + 0.5 * len(named)
    low, high = (without + 0.5 * structures for structures in _STRUCTURES)
    mask = resized(lesion.mask, (rgb.shape[0], rgb.shape[1]))
    stored = images.put_mask(mask)
    parts = ("asymmetry score", "border score", "colour score")
    sure = "above" if low > MELANOMA else "below" if high < SUSPICIOUS else ""
    found = axes(mask, arguments.spacing_mm) if arguments.spacing_mm else None
    return DermoscopyAbcd(
        asymmetry=measured(
            "asymmetry score", a, "1", "Asymmetry (A) scores {} of 2: folded over its long and its short axis, "
            f"{100 * shares[0]:.0f} % and {100 * shares[1]:.0f} % of the lesion do not match.", digits=0, mask=stored,
        ),
        border=measured(
            "border score", b, "1", "Border (B) scores {} of 8: so many eighths end abruptly.", digits=0, mask=stored,
        ),
        colours=measured(
            "colour score", len(named), "1", f"Colours (C) score {{}} of 6: {', '.join(named)}.", digits=0, mask=stored,
        ),
        lowest_score=measured(
            "total dermoscopy score, lowest", low, "1", "With one structure (D) the total dermoscopy score is {}.",
            digits=2, of=parts,
        ),
        highest_score=measured(
            "total dermoscopy score, highest", high, "1", "With five structures (D) the total dermoscopy score is {}.",
            digits=2, of=parts,
        ),
        score=measured(
            "total dermoscopy score", low if sure == "above" else high, "1",
            "The total dermoscopy score is at " + ("least {}" if sure == "above" else "most {}") + ", whatever D is.",
            digits=2, of=parts, finding="melanoma", says="undecided",
        ) if sure else None,
        diameter=measured("pigmented lesion diameter", found.long, "mm", "The lesion's longest diameter is {}.",
                          digits=1, mask=stored) if found else None,
        overlay=images.put_picture(
            overlay(rgb, [Drawn(mask=mask, label=f"A {a} B {b} C {len(named)}", colour=COLOURS[0])],
                    spacing_mm=arguments.spacing_mm)
        ),
        limitations=(
            "Differential structures (D) were not measured: the score is a range.",
            "The rule is for melanocytic lesions; whether this is one was not judged.",
        ),
    )  # fmt: skip


def _refused(got: str) -> ToolRefusedError:
    return ToolRefusedError(
        expected="a dermoscopic picture of one whole, darker lesion on skin",
        got=got,
        fix="name another image of the case, or ask without this tool",
    )


TOOL = Tool(
    card=ToolCard(
        name="dermoscopy_abcd",
        version="1.0.0",
        summary="Scores asymmetry, border and colours of a pigmented skin lesion by the ABCD rule of dermatoscopy.",
        measures=("A, B and C of the ABCD rule", "range of the total dermoscopy score", "lesion diameter in mm"),
        modalities=("dermoscopy",),
        figures=(
            Figure(
                metric="refused share of pictures of mucosa, the likest kind",
                value=0.875,
                dataset="Kvasir-SEG colonoscopy",
                n=24,
                interval=(0.69, 0.957),
            ),
        ),
        limits=(
            "No figure of merit was measured: no dermoscopic pictures were at hand. The scores were checked on drawn "
            "lesions only, and their thresholds were chosen without a reader's scores.",
            "Differential structures (D) are not measured, so the total dermoscopy score is a range of two points.",
            "Lesions paler than the skin, hair on the border and rulers in the picture mislead it.",
        ),
    ),
    arguments=ScaledImageArguments,
    output=DermoscopyAbcd,
    run=_run,
)
