"""Blood and infection by score: coagulation, platelets, neutrophils, red cells, sore throat and soft tissue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ..card import Arguments
from .amounts import Amount
from .points import LOWEST, Calculated, Published, chosen, flag, refused, shown, stepped, when
from .quantities import (
    CREATININE,
    GLUCOSE,
    Creatinine,
    Glucose,
    Haemoglobin,
    Inr,
    Platelets,
    Sodium,
    Temperature,
    WhiteCells,
)

if TYPE_CHECKING:
    from ..imaging.store import ImageStore

MeanVolume = Annotated[float, Amount(what="mean cell volume (MCV)", unit="fL", low=40, high=160, example=78)]


class Coagulation(Arguments):
    platelets: Platelets
    fibrin_marker: Literal["no_increase", "moderate_increase", "strong_increase"] = Field(
        description="D-dimer or another fibrin marker, by the laboratory's own bounds."
    )
    prothrombin_prolongation: Annotated[
        float, Amount(what="prothrombin time beyond the upper limit", unit="s", low=0, high=120, example=4)
    ]
    fibrinogen: Annotated[
        float, Amount(what="fibrinogen", unit="g/L", low=0.05, high=20, also=("mg/dL", "g/dL"), example=1.4)
    ]
    underlying_disorder: bool = Field(
        description="A disorder known to cause DIC; without one the score does not apply."
    )


DIC = Published(
    name="isth_dic", measures="isth_dic_score", title="ISTH score of overt DIC",
    levels=((0, "not overt (below 5): repeat in one to two days if suspected"), (5, "overt disseminated intravascular "
            "coagulation (5 or more)")),
    summary="ISTH score of overt disseminated intravascular coagulation.",
    source="Taylor FB et al., Towards definition, clinical and laboratory criteria, and a scoring system for "
    "disseminated intravascular coagulation, Thrombosis and Haemostasis 2001;86:1327-1330",
    limits=("Only with a disorder known to cause it.",),
)  # fmt: skip


def _dic(given: Coagulation, images: ImageStore) -> Calculated:
    if not given.underlying_disorder:
        raise refused("a disorder known to cause DIC", "none", "look for sepsis, trauma, cancer or obstetric causes")
    prothrombin = given.prothrombin_prolongation
    return DIC.scored((
        stepped("platelets", given.platelets, "10^9/L", ((LOWEST, 2), (50, 1), (100, 0))),
        chosen("fibrin marker", given.fibrin_marker,
               {"no_increase": 0, "moderate_increase": 2, "strong_increase": 3}),
        when("prothrombin time", prothrombin >= 3, shown(prothrombin, "s"), "1 from 3 s, 2 above 6 s",
             2 if prothrombin > 6 else 1),
        when("fibrinogen", given.fibrinogen <= 1, shown(given.fibrinogen, "g/L"), "up to 1 g/L"),
    ))  # fmt: skip


class Microangiopathy(Arguments):
    platelets: Platelets
    haemolysis: bool = Field(description="Reticulocytes above 2.5 %, no haptoglobin, or raised indirect bilirubin.")
    active_cancer: bool = Field(description="Treated for cancer within the past year.")
    transplant: bool = Field(description="Solid-organ or stem-cell transplant.")
    mean_cell_volume: MeanVolume
    inr: Inr
    creatinine: Creatinine


PLASMIC = Published(
    name="plasmic", measures="plasmic_score", title="PLASMIC score",
    levels=((0, "low probability of severe ADAMTS13 deficiency (up to 4)"), (5, "intermediate probability of severe "
            "ADAMTS13 deficiency (5)"), (6, "high probability of severe ADAMTS13 deficiency (6 or 7)")),
    summary="PLASMIC score of thrombotic thrombocytopenic purpura.",
    source="Bendapudi PK et al., Derivation and external validation of the PLASMIC score for rapid assessment of "
    "adults with thrombotic microangiopathies, Lancet Haematology 2017;4:e157-e164",
    limits=("Adults with thrombocytopenia and schistocytes.",),
)  # fmt: skip


def _plasmic(given: Microangiopathy, images: ImageStore) -> Calculated:
    return PLASMIC.scored((
        when("platelets", given.platelets < 30, shown(given.platelets, "10^9/L"), "below 30 x 10^9/L"),
        flag("haemolysis", given.haemolysis),
        flag("no active cancer", not given.active_cancer),
        flag("no transplant", not given.transplant),
        when("mean cell volume", given.mean_cell_volume < 90, shown(given.mean_cell_volume, "fL"), "below 90 fL"),
        when("INR", given.inr < 1.5, shown(given.inr, "1"), "below 1.5"),
        when("creatinine", given.creatinine < 2, shown(given.creatinine, "mg/dL"), "below 2.0 mg/dL"),
    ))  # fmt: skip


class Neutrophils(Arguments):
    white_cells: WhiteCells
    neutrophils: Annotated[float, Amount(what="segmented neutrophils", unit="%", low=0, high=100, example=48)]
    bands: Annotated[float, Amount(what="band forms", unit="%", low=0, high=100, example=3)] = 0.0


NEUTROPHIL_COUNT = Published(
    name="neutrophil_count", measures="absolute_neutrophil_count", title="absolute neutrophil count", unit="10^9/L",
    digits=2,
    levels=((0, "severe neutropenia (below 0.5)"), (0.5, "moderate neutropenia (0.5 to 0.99)"),
            (1, "mild neutropenia (1.0 to 1.49)"), (1.5, "no neutropenia (1.5 or more)")),
    summary="Absolute neutrophil count from the white cells and their differential.",
    source="Product of the count and the share of neutrophils with bands; grades: Hsieh MM et al., Annals of Internal "
    "Medicine 2007;146:486-492",
    limits=("Adults; lower counts are usual in people with the Duffy-null phenotype.",),
)  # fmt: skip


def _neutrophil_count(given: Neutrophils, images: ImageStore) -> Calculated:
    if given.neutrophils + given.bands > 100:
        raise refused("shares of at most 100 % together", f"{given.neutrophils + given.bands:g} %", "check both shares")
    count = given.white_cells * (given.neutrophils + given.bands) / 100
    return NEUTROPHIL_COUNT.given((NEUTROPHIL_COUNT.value(count),))


class RedCells(Arguments):
    mean_cell_volume: MeanVolume
    red_cells: Annotated[
        float, Amount(what="red cell count", unit="10^12/L", low=0.5, high=10, also=("10^6/uL",), example=5.4)
    ]


MENTZER = Published(
    name="mentzer_index", measures="mentzer_index", title="Mentzer index", digits=1,
    levels=((0, "thalassaemia trait more likely (below 13)"), (13, "iron deficiency more likely (13 or more)")),
    summary="Mentzer index of a microcytic anaemia.",
    source="Mentzer WC, Differentiation of iron deficiency from thalassaemia trait, Lancet 1973;301:882",
    limits=("Microcytosis only: a mean cell volume below 80 fL.", "A hint: ferritin and electrophoresis decide."),
)  # fmt: skip


def _mentzer(given: RedCells, images: ImageStore) -> Calculated:
    if given.mean_cell_volume >= 80:
        raise refused("a mean cell volume of 40 to 80 fL", f"{given.mean_cell_volume:g} fL", "use it in microcytosis")
    return MENTZER.given((MENTZER.value(given.mean_cell_volume / given.red_cells),))


class SoreThroat(Arguments):
    exudate: bool = Field(description="Swelling or exudate of the tonsils.")
    tender_nodes: bool = Field(description="Tender anterior cervical lymph nodes.")
    temperature: Temperature
    fever_by_history: bool = Field(description="Fever above 38 °C told of, if not measured.")
    cough: bool
    age: Annotated[float, Amount(what="age", unit="years", low=3, high=120, example=24)]


CENTOR = Published(
    name="centor", measures="centor_score", title="Centor score",
    levels=((0, "streptococci unlikely (up to 2)"), (3, "streptococci likely enough for an antibiotic to be considered "
            "(3 or 4)")),
    summary="Centor score of a sore throat, and McIsaac's with the age.",
    source="Centor RM et al., The diagnosis of strep throat in adults in the emergency room, Medical Decision Making "
    "1981;1:239-246; McIsaac WJ et al., Canadian Medical Association Journal 1998;158:75-83",
    limits=("Acute sore throat from 3 years.",),
)  # fmt: skip


def _centor(given: SoreThroat, images: ImageStore) -> Calculated:
    items = (
        flag("tonsillar exudate", given.exudate),
        flag("tender anterior cervical nodes", given.tender_nodes),
        when("fever", given.temperature > 38 or given.fever_by_history, shown(given.temperature, "°C"), "above 38 °C"),
        flag("no cough", not given.cough),
    )
    total = sum(item.points for item in items)
    age = stepped("age (McIsaac only)", given.age, "years", ((LOWEST, 1), (15, 0), (45, -1)))
    values = (
        CENTOR.value(total),
        CENTOR.other("mcisaac_score", "McIsaac score", total + age.points, of=(CENTOR.measures,)),
    )
    return CENTOR.given(values, (*items, age))


class FeverPain(Arguments):
    fever: bool = Field(description="Fever in the past 24 hours.")
    purulence: bool = Field(description="Pus on the tonsils.")
    attended_rapidly: bool = Field(description="Came within 3 days of the onset.")
    inflamed_tonsils: bool = Field(description="Severely inflamed tonsils.")
    no_cough_or_coryza: bool


FEVERPAIN = Published(
    name="feverpain", measures="feverpain", title="FeverPAIN score",
    levels=((0, "streptococci in 13 to 18 % (0 or 1)"), (2, "streptococci in 34 to 40 % (2 or 3)"),
            (4, "streptococci in 62 to 65 % (4 or 5)")),
    summary="FeverPAIN score of a sore throat.",
    source="Little P et al., Clinical score and rapid antigen detection test to guide antibiotic use for sore throats, "
    "BMJ 2013;347:f5806; shares: NICE guideline NG84, 2018",
    limits=("Acute sore throat from 3 years.",),
)  # fmt: skip


def _feverpain(given: FeverPain, images: ImageStore) -> Calculated:
    return FEVERPAIN.scored((
        flag("fever", given.fever),
        flag("purulence", given.purulence),
        flag("attended within 3 days", given.attended_rapidly),
        flag("severely inflamed tonsils", given.inflamed_tonsils),
        flag("no cough or coryza", given.no_cough_or_coryza),
    ))  # fmt: skip


class SoftTissue(Arguments):
    c_reactive_protein: Annotated[
        float, Amount(what="C-reactive protein", unit="mg/L", low=0, high=1000, also=("mg/dL",), example=168)
    ]
    white_cells: WhiteCells
    haemoglobin: Haemoglobin
    sodium: Sodium
    creatinine: Creatinine
    glucose: Glucose


LRINEC = Published(
    name="lrinec", measures="lrinec", title="LRINEC score",
    levels=((0, "low risk (up to 5): it does not exclude necrotising fasciitis"), (6, "intermediate risk of "
            "necrotising fasciitis (6 or 7)"), (8, "high risk of necrotising fasciitis (8 or more)")),
    summary="Laboratory risk indicator of necrotising fasciitis.",
    source="Wong CH et al., The LRINEC (Laboratory Risk Indicator for Necrotizing Fasciitis) score, Critical Care "
    "Medicine 2004;32:1535-1541",
    limits=("Severe soft-tissue infection; a low score does not exclude it.",),
)  # fmt: skip


def _lrinec(given: SoftTissue, images: ImageStore) -> Calculated:
    """The source's bounds are 141 umol/L of creatinine, in whole umol/L (1.6 mg/dL, which is 141.4, is not above it),
    and 10 mmol/L of glucose."""
    protein, cells = given.c_reactive_protein, given.white_cells
    return LRINEC.scored((
        when("C-reactive protein", protein >= 150, shown(protein, "mg/L"), "from 150 mg/L", 4),
        when("white cells", cells >= 15, shown(cells, "10^9/L"), "1 from 15, 2 above 25 x 10^9/L",
             2 if cells > 25 else 1),
        when("haemoglobin", given.haemoglobin <= 13.5, shown(given.haemoglobin, "g/dL"),
             "1 up to 13.5, 2 below 11 g/dL", 2 if given.haemoglobin < 11 else 1),
        when("sodium", given.sodium < 135, shown(given.sodium, "mmol/L"), "below 135 mmol/L", 2),
        when("creatinine", given.creatinine >= CREATININE.read("141.5 umol/L"), shown(given.creatinine, "mg/dL"),
             "above 141 umol/L (1.6 mg/dL)", 2),
        when("glucose", given.glucose > GLUCOSE.read("10 mmol/L"), shown(given.glucose, "mg/dL"),
             "above 10 mmol/L (180 mg/dL)"),
    ))  # fmt: skip


TOOLS = (
    DIC.tool(Coagulation, _dic),
    PLASMIC.tool(Microangiopathy, _plasmic),
    NEUTROPHIL_COUNT.tool(Neutrophils, _neutrophil_count),
    MENTZER.tool(RedCells, _mentzer),
    CENTOR.tool(SoreThroat, _centor),
    FEVERPAIN.tool(FeverPain, _feverpain),
    LRINEC.tool(SoftTissue, _lrinec),
)
