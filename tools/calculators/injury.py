"""Injured ankles and feet: whether a radiograph is needed by the Ottawa rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..card import Arguments
from .amounts import Amount
from .points import Calculated, Published, flag, refused

if TYPE_CHECKING:
    from ..imaging.store import ImageStore


class InjuredAnkle(Arguments):
    malleolar_pain: bool = Field(description="Pain in the malleolar zone.")
    midfoot_pain: bool = Field(description="Pain in the midfoot zone.")
    lateral_malleolus: bool = Field(description="Bone tenderness at the lower 6 cm or tip of the lateral malleolus.")
    medial_malleolus: bool = Field(description="Bone tenderness at the lower 6 cm or tip of the medial malleolus.")
    fifth_metatarsal: bool = Field(description="Bone tenderness at the base of the fifth metatarsal.")
    navicular: bool = Field(description="Bone tenderness at the navicular.")
    cannot_bear_weight: bool = Field(description="Could not take four steps at once nor at the examination.")
    age: Annotated[float, Amount(what="age", unit="years", low=5, high=120, example=28)]
    reliable_examination: bool = Field(description="Not drunk, not distracted by other injuries, with normal feeling.")


OTTAWA = Published(
    name="ottawa_ankle", measures="ottawa_ankle_criteria", title="number of Ottawa criteria that call for a radiograph",
    levels=((0, "no radiograph of ankle or foot is needed"),),
    summary="Ottawa ankle and foot rules.",
    source="Stiell IG et al., Decision rules for the use of radiography in acute ankle injuries: refinement and "
    "prospective validation, JAMA 1993;269:1127-1132",
    limits=("Blunt injuries within 10 days, from 5 years of age (children: Plint AC et al., Academic Emergency "
            "Medicine 1999;6:1005-1009).",),
)  # fmt: skip


def _ottawa(given: InjuredAnkle, images: ImageStore) -> Calculated:
    if not given.reliable_examination:
        raise refused("a patient who can be examined reliably", "one who cannot", "decide without the rules")
    ankle = (
        flag("lateral malleolus", given.malleolar_pain and given.lateral_malleolus),
        flag("medial malleolus", given.malleolar_pain and given.medial_malleolus),
    )
    foot = (
        flag("fifth metatarsal", given.midfoot_pain and given.fifth_metatarsal),
        flag("navicular", given.midfoot_pain and given.navicular),
    )
    weight = flag("cannot bear weight", (given.malleolar_pain or given.midfoot_pain) and given.cannot_bear_weight)
    parts = [
        part
        for part, items, pain in (("ankle", ankle, given.malleolar_pain), ("foot", foot, given.midfoot_pain))
        if any(item.points for item in items) or (pain and given.cannot_bear_weight)
    ]
    said = f"a radiograph of the {' and the '.join(parts)} is needed" if parts else None
    return OTTAWA.scored((*ankle, *foot, weight), interpretation=said)


TOOLS = (OTTAWA.tool(InjuredAnkle, _ottawa),)
