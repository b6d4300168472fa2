"""What a few lengths on an image give: volumes of ellipsoids, PSA density and the cardiothoracic ratio."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from ..card import Arguments
from .amounts import Amount
from .points import Calculated, Published, refused, term

if TYPE_CHECKING:
    from ..imaging.store import ImageStore

Axis = Annotated[float, Amount(what="diameter along one axis", unit="cm", low=0.1, high=30, also=("mm",), example=4.2)]


class Ellipsoid(Arguments):
    organ: Literal["prostate", "thyroid lobe", "ovary", "kidney", "testis", "lesion"]
    length: Axis
    width: Axis
    height: Axis


VOLUME = Published(
    name="ellipsoid_volume", measures="volume", title="volume", unit="mL", digits=1,
    summary="Volume of an organ or lesion from three diameters at right angles.",
    source="Ellipsoid: pi/6 x length x width x height, as used for the prostate in Terris MK, Stamey TA, Determination "
    "of prostate volume by transrectal ultrasound, Journal of Urology 1991;145:984-987",
    limits=("The shape is taken for an ellipsoid; lobulated ones are off by 10 to 20 % and more.",
            "Thyroid lobes are often given with 0.479 in place of pi/6."),
)  # fmt: skip


def _volume(given: Ellipsoid, images: ImageStore) -> Calculated:
    said = "an ellipsoid of the three diameters"
    size = math.pi / 6 * given.length * given.width * given.height
    title = f"{given.organ} volume"
    return VOLUME.given((VOLUME.other(title.replace(" ", "_"), title, size, said=said),), interpretation=said)


class Density(Arguments):
    psa: Annotated[
        float, Amount(what="prostate-specific antigen", unit="ng/mL", low=0.01, high=5000, also=("ug/L",), example=6.1)
    ]
    prostate_volume: Annotated[
        float, Amount(what="prostate volume", unit="mL", low=5, high=500, also=("cm3",), example=42)
    ]


PSA_DENSITY = Published(
    name="psa_density", measures="psa_density", title="PSA density", unit="ng/mL2", digits=2,
    levels=((0, "below 0.15"), (0.15, "raised (0.15 or more)")),
    summary="Prostate-specific antigen by prostate volume.",
    source="Benson MC et al., Prostate specific antigen density: a means of distinguishing benign prostatic "
    "hypertrophy and prostate cancer, Journal of Urology 1992;147:815-816",
    limits=("Not in infection, after a biopsy or under 5-alpha-reductase inhibitors.",),
)  # fmt: skip


def _psa_density(given: Density, images: ImageStore) -> Calculated:
    return PSA_DENSITY.given((PSA_DENSITY.value(given.psa / given.prostate_volume),))


class Haematoma(Arguments):
    length: Annotated[
        float,
        Amount(what="largest diameter of the haematoma (A)", unit="cm", low=0.2, high=15, also=("mm",), example=4),
    ]
    width: Annotated[
        float, Amount(what="largest diameter at right angles on the same slice (B)", unit="cm", low=0.2, high=15,
                      also=("mm",), example=3),
    ]  # fmt: skip
    height: Annotated[
        float, Amount(what="height: slices with haematoma times their thickness (C)", unit="cm", low=0.2, high=15,
                      also=("mm",), example=3.5),
    ]  # fmt: skip


HAEMATOMA = Published(
    name="haematoma_volume", measures="intracerebral_haemorrhage_volume", title="intracerebral haemorrhage volume",
    unit="cm3", digits=1, levels=((0, "below 30 cm3"), (30, "30 cm3 or more")),
    summary="Volume of an intracerebral haemorrhage by ABC/2.",
    source="Kothari RU et al., The ABCs of measuring intracerebral hemorrhage volumes, Stroke 1996;27:1304-1305",
    limits=("Slices count by half where a quarter to three quarters of the largest area show, and not at all below.",
            "Too large for irregular and subdural haematomas."),
)  # fmt: skip


def _haematoma(given: Haematoma, images: ImageStore) -> Calculated:
    if given.width > given.length:
        raise refused("A as the largest diameter", f"A {given.length:g} cm and B {given.width:g} cm", "exchange them")
    return HAEMATOMA.given((HAEMATOMA.value(given.length * given.width * given.height / 2),))


class Widths(Arguments):
    heart_width: Annotated[
        float,
        Amount(what="largest transverse width of the heart", unit="cm", low=3, high=30, also=("mm",), example=13.1),
    ]
    thorax_width: Annotated[
        float, Amount(what="largest inner width of the thorax", unit="cm", low=8, high=50, also=("mm",), example=29.4)
    ]


CARDIOTHORACIC = Published(
    name="cardiothoracic_ratio", measures="cardiothoracic_ratio", title="cardiothoracic ratio", digits=2,
    levels=((0, "not enlarged (up to 0.50)"), (0.51, "enlarged (above 0.50)")),
    summary="Cardiothoracic ratio from two widths on a chest radiograph.",
    source="Danzer CS, The cardiothoracic ratio: an index of cardiac enlargement, American Journal of the Medical "
    "Sciences 1919;157:513-521",
    limits=("Adults, an upright postero-anterior film in full inspiration; antero-posterior films enlarge the heart.",),
)  # fmt: skip


def _cardiothoracic(given: Widths, images: ImageStore) -> Calculated:
    if given.heart_width >= given.thorax_width:
        raise refused("a heart narrower than the thorax", f"{given.heart_width:g} and {given.thorax_width:g} cm",
                      "check whether the two widths were exchanged")  # fmt: skip
    terms = (term("heart", given.heart_width, "cm", "largest transverse width"),
             term("thorax", given.thorax_width, "cm", "largest inner width"))  # fmt: skip
    return CARDIOTHORACIC.given((CARDIOTHORACIC.value(given.heart_width / given.thorax_width),), terms)


TOOLS = (
    VOLUME.tool(Ellipsoid, _volume),
    PSA_DENSITY.tool(Density, _psa_density),
    HAEMATOMA.tool(Haematoma, _haematoma),
    CARDIOTHORACIC.tool(Widths, _cardiothoracic),
)
