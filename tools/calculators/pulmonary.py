"""The lungs by score and formula: severity of pneumonia, gas exchange, oxygen by nasal cannula and pleural fluid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ..card import Arguments
from .amounts import Amount, Sex
from .points import LOWEST, Calculated, Component, Published, flag, refused, shown, term, when
from .quantities import (
    UREA,
    AdultAge,
    ArterialCarbonDioxide,
    ArterialOxygen,
    DiastolicPressure,
    Fio2,
    Glucose,
    Haematocrit,
    HeartRate,
    OxygenSaturation,
    RespiratoryRate,
    Sodium,
    SystolicPressure,
    Temperature,
    Urea,
)

if TYPE_CHECKING:
    from ..imaging.store import ImageStore

Ph = Annotated[float, Amount(what="arterial pH", unit="1", low=6.5, high=8, example=7.36)]


class Curb65(Arguments):
    confusion: bool = Field(description="New confusion: mental test score of 8 or less, or disoriented.")
    urea: Urea
    respiratory_rate: RespiratoryRate
    systolic: SystolicPressure
    diastolic: DiastolicPressure
    age: AdultAge


CURB_65 = Published(
    name="curb_65", measures="curb-65", title="CURB-65 score",
    levels=((0, "low risk, 30-day mortality 1.5 %"), (2, "intermediate risk, 30-day mortality 9.2 %"),
            (3, "severe pneumonia, 30-day mortality 22 %")),
    summary="CURB-65 severity of community-acquired pneumonia.",
    source="Lim WS et al., Defining community acquired pneumonia severity on presentation to hospital: an "
    "international derivation and validation study, Thorax 2003;58:377-382",
    limits=("Community-acquired pneumonia of adults at presentation.", "Low points do not see hypoxaemia."),
)  # fmt: skip


def _curb_65(given: Curb65, images: ImageStore) -> Calculated:
    pressures = f"{shown(given.systolic, 'mmHg')} systolic, {shown(given.diastolic, 'mmHg')} diastolic"
    return CURB_65.scored((
        flag("confusion", given.confusion),
        when("urea", given.urea > 7, shown(given.urea, "mmol/L"), "above 7 mmol/L"),
        when("respiratory rate", given.respiratory_rate >= 30, shown(given.respiratory_rate, "/min"), "from 30 /min"),
        when("blood pressure", given.systolic < 90 or given.diastolic <= 60, pressures,
             "below 90 systolic or at most 60 mmHg diastolic"),
        when("age", given.age >= 65, shown(given.age, "years"), "from 65 years"),
    ))  # fmt: skip


class PneumoniaSeverity(Arguments):
    age: AdultAge
    sex: Sex
    nursing_home: bool = Field(description="Lives in a nursing home.")
    neoplastic_disease: bool = Field(
        description="Cancer, active or diagnosed within a year, but basal or squamous skin."
    )
    liver_disease: bool
    heart_failure: bool
    cerebrovascular_disease: bool
    renal_disease: bool
    altered_mental_status: bool = Field(description="Disorientation, stupor or coma that is new.")
    pulse: HeartRate
    respiratory_rate: RespiratoryRate
    systolic: SystolicPressure
    temperature: Temperature
    pleural_effusion: bool | None = Field(default=None, description="On the chest radiograph; leave out if none made.")
    arterial_ph: Ph | None = None
    urea: Urea | None = None
    sodium: Sodium | None = None
    glucose: Glucose | None = None
    haematocrit: Haematocrit | None = None
    arterial_oxygen: ArterialOxygen | None = None
    oxygen_saturation: OxygenSaturation | None = None


PSI = Published(
    name="pneumonia_severity_index", measures="pneumonia_severity_index", title="Pneumonia Severity Index",
    levels=((LOWEST, "class II, 30-day mortality 0.6 %"), (71, "class III, 30-day mortality 0.9 %"),
            (91, "class IV, 30-day mortality 9.3 %"), (131, "class V, 30-day mortality 27.0 %")),
    summary="Pneumonia Severity Index (PORT score) and class of community-acquired pneumonia.",
    source="Fine MJ et al., A prediction rule to identify low-risk patients with community-acquired pneumonia, New "
    "England Journal of Medicine 1997;336:243-250; mortality of the PORT cohort",
    limits=("Community-acquired pneumonia of adults without HIV.", "What was not measured counts as normal, as there."),
)  # fmt: skip


def _psi(given: PneumoniaSeverity, images: ImageStore) -> Calculated:
    years = given.age - (10 if given.sex == "female" else 0)
    history = (
        flag("neoplastic disease", given.neoplastic_disease, 30),
        flag("liver disease", given.liver_disease, 20),
        flag("heart failure", given.heart_failure, 10),
        flag("cerebrovascular disease", given.cerebrovascular_disease, 10),
        flag("renal disease", given.renal_disease, 10),
    )
    signs = (
        flag("altered mental status", given.altered_mental_status, 20),
        when("respiratory rate", given.respiratory_rate >= 30, shown(given.respiratory_rate, "/min"), "from 30", 20),
        when("systolic pressure", given.systolic < 90, shown(given.systolic, "mmHg"), "below 90 mmHg", 20),
        when("temperature", given.temperature < 35 or given.temperature >= 40, shown(given.temperature, "°C"),
             "below 35 or from 40 °C", 15),
        when("pulse", given.pulse >= 125, shown(given.pulse, "/min"), "from 125 /min", 10),
    )  # fmt: skip
    tests = _psi_tests(given)
    first = (
        Component(item="age", stated=f"{given.age:g} years, {given.sex}", points=years, why="years, less 10 in women"),
        flag("nursing home", given.nursing_home, 10),
    )
    missing = [item.item for item in tests if item.stated == "not measured"]
    notes = (f"Taken as normal: {', '.join(missing)}.",) if missing else ()
    class_1 = given.age <= 50 and not any(item.points for item in (*history, *signs))
    words = "class I, 30-day mortality 0.1 %: up to 50 years, with no illness and no abnormal sign" if class_1 else None
    return PSI.scored((*first, *history, *signs, *tests), interpretation=words, limitations=notes)


def _psi_tests(given: PneumoniaSeverity) -> tuple[Component, ...]:
    """The bounds are those in mg/dL and mmHg, which the source prints first; its 11 and 14 mmol/L are roundings."""

    def tested(item: str, value: float | None, unit: str, bad: bool, rule: str, points: float) -> Component:
        return when(item, bad, "not measured" if value is None else shown(value, unit), rule, points)

    ph, urea, sodium, glucose = given.arterial_ph, given.urea, given.sodium, given.glucose
    haematocrit, oxygen = given.haematocrit, given.arterial_oxygen
    saturation = given.oxygen_saturation
    low = (oxygen is not None and oxygen < 60) or (saturation is not None and saturation < 90)
    oxygenation = " and ".join(shown(value, unit) for value, unit in ((oxygen, "mmHg"), (saturation, "%")) if value)
    effusion = {None: "not measured", True: "yes", False: "no"}[given.pleural_effusion]
    return (
        tested("arterial pH", ph, "1", ph is not None and ph < 7.35, "below 7.35", 30),
        tested(
            "urea",
            urea,
            "mmol/L",
            urea is not None and urea >= UREA.read("30 mg/dL"),
            "from 10.7 mmol/L (30 mg/dL of urea nitrogen)",
            20,
        ),
        tested("sodium", sodium, "mmol/L", sodium is not None and sodium < 130, "below 130 mmol/L", 20),
        tested("glucose", glucose, "mg/dL", glucose is not None and glucose >= 250, "from 250 mg/dL", 10),
        tested("haematocrit", haematocrit, "%", haematocrit is not None and haematocrit < 30, "below 30 %", 10),
        when("oxygenation", low, oxygenation or "not measured", "below 60 mmHg, or a saturation below 90 %", 10),
        when("pleural effusion", given.pleural_effusion is True, effusion, "if present", 10),
    )


class AlveolarGradient(Arguments):
    arterial_oxygen: ArterialOxygen
    arterial_carbon_dioxide: ArterialCarbonDioxide
    fio2: Fio2
    age: AdultAge
    altitude: Annotated[
        float, Amount(what="altitude above the sea", unit="m", low=-400, high=5500, example=300)
    ] = 0.0  # fmt: skip
    respiratory_quotient: Annotated[
        float, Amount(what="respiratory quotient", unit="1", low=0.7, high=1, example=0.8)
    ] = 0.8


A_A_GRADIENT = Published(
    name="alveolar_arterial_gradient", measures="alveolar-arterial_gradient",
    title="alveolar-arterial oxygen gradient", unit="mmHg", digits=0,
    summary="Alveolar oxygen and the alveolar-arterial gradient, at any altitude and inspired oxygen.",
    source="Fenn WO, Rahn H, Otis AB, A theoretical study of the composition of the alveolar air at altitude, American "
    "Journal of Physiology 1946;146:637-653; expected gradient 2.5 + 0.21 x age: Mellemgaard K, Acta Physiologica "
    "Scandinavica 1966;67:10-20; pressure at altitude: ICAO standard atmosphere",
    limits=("Adults; the expected gradient holds on room air only.",
            "Pressure is that of the standard atmosphere at the altitude; weather moves it by a few per cent."),
)  # fmt: skip


def _a_a_gradient(given: AlveolarGradient, images: ImageStore) -> Calculated:
    pressure = 760 * (1 - 2.25577e-5 * given.altitude) ** 5.25588
    alveolar = given.fio2 * (pressure - 47) - given.arterial_carbon_dioxide / given.respiratory_quotient
    gradient, expected = alveolar - given.arterial_oxygen, 2.5 + 0.21 * given.age
    if gradient < -5:
        raise refused("an arterial oxygen that is not above the alveolar one", f"{-gradient:.0f} mmHg above it",
                      "check the inspired oxygen and the altitude at the time of the sample")  # fmt: skip
    said = "the normal gradient for age is known on room air only"
    if given.fio2 <= 0.21:
        said = f"{'raised' if gradient > expected else 'not raised'} for the age, where {expected:.0f} mmHg is expected"
    terms = (
        term("barometric pressure", pressure, "mmHg", "standard atmosphere at the altitude"),
        term("alveolar oxygen", alveolar, "mmHg", "FiO2 x (pressure - 47) - PaCO2 / respiratory quotient"),
    )
    values = (
        A_A_GRADIENT.other("alveolar_oxygen", "alveolar oxygen tension", alveolar),
        A_A_GRADIENT.value(gradient, said, of=("alveolar_oxygen",)),
    )
    return A_A_GRADIENT.given(values, terms, said)


class OxygenRatio(Arguments):
    arterial_oxygen: ArterialOxygen
    fio2: Fio2


PF_RATIO = Published(
    name="pf_ratio", measures="pao2_fio2_ratio", title="PaO2/FiO2 ratio", unit="mmHg",
    levels=((0, "in the range of severe ARDS (at most 100)"), (101, "in the range of moderate ARDS (101 to 200)"),
            (201, "in the range of mild ARDS (201 to 300)"), (301, "above the range of ARDS")),
    summary="PaO2/FiO2 ratio with the Berlin ranges of ARDS.",
    source="ARDS Definition Task Force, Acute respiratory distress syndrome: the Berlin definition, JAMA "
    "2012;307:2526-2533",
    limits=("ARDS also needs bilateral opacities, onset within a week and PEEP or CPAP of 5 cmH2O.",),
)  # fmt: skip


def _pf_ratio(given: OxygenRatio, images: ImageStore) -> Calculated:
    return PF_RATIO.given((PF_RATIO.value(given.arterial_oxygen / given.fio2),))


class Rox(Arguments):
    oxygen_saturation: OxygenSaturation
    fio2: Fio2
    respiratory_rate: RespiratoryRate


ROX = Published(
    name="rox_index", measures="rox_index", title="ROX index", digits=2,
    levels=((0, "below 4.88"), (4.88, "low risk of intubation (4.88 or more at 2, 6 or 12 hours)")),
    summary="ROX index of success of high-flow nasal oxygen.",
    source="Roca O et al., An index combining respiratory rate and oxygenation to predict outcome of nasal high-flow "
    "therapy, American Journal of Respiratory and Critical Care Medicine 2019;199:1368-1376",
    limits=("Adults with pneumonia on high-flow nasal oxygen for at least 2 hours.",),
)  # fmt: skip


def _rox(given: Rox, images: ImageStore) -> Calculated:
    return ROX.given((ROX.value(given.oxygen_saturation / given.fio2 / given.respiratory_rate),))


PleuralProtein = Annotated[
    float, Amount(what="protein of the pleural fluid", unit="g/dL", low=0.1, high=12, also=("g/L",), example=3.8)
]
SerumProtein = Annotated[
    float, Amount(what="total protein of the serum", unit="g/dL", low=2, high=15, also=("g/L",), example=6.9)
]
PleuralLdh = Annotated[float, Amount(what="LDH of the pleural fluid", unit="U/L", low=5, high=50000, example=260)]
SerumLdh = Annotated[float, Amount(what="LDH of the serum", unit="U/L", low=30, high=20000, example=210)]
LdhLimit = Annotated[
    float, Amount(what="upper limit of normal of serum LDH", unit="U/L", low=100, high=700, example=245)
]


class PleuralFluid(Arguments):
    pleural_protein: PleuralProtein
    serum_protein: SerumProtein
    pleural_ldh: PleuralLdh
    serum_ldh: SerumLdh
    ldh_upper_limit: LdhLimit


LIGHT = Published(
    name="light_criteria", measures="light_criteria", title="number of Light's criteria that are met",
    levels=((0, "a transudate: none is met"), (1, "an exudate: at least one is met")),
    summary="Light's criteria: pleural exudate or transudate.",
    source="Light RW et al., Pleural effusions: the diagnostic separation of transudates and exudates, Annals of "
    "Internal Medicine 1972;77:507-513; third criterion as two thirds of the upper limit of normal",
    limits=("Pleural and serum samples of the same day.", "Diuretics make a transudate look like an exudate."),
)  # fmt: skip


def _light(given: PleuralFluid, images: ImageStore) -> Calculated:
    protein, ldh = given.pleural_protein / given.serum_protein, given.pleural_ldh / given.serum_ldh
    share = given.pleural_ldh / given.ldh_upper_limit
    items = (
        when("protein ratio", protein > 0.5, f"{protein:.2f}", "above 0.5"),
        when("LDH ratio", ldh > 0.6, f"{ldh:.2f}", "above 0.6"),
        when("pleural LDH / upper limit", share > 2 / 3, f"{share:.2f}", "above two thirds"),
    )
    protein_name, ldh_name = "pleural_fluid-to-serum_protein_ratio", "pleural_fluid-to-serum_ldh_ratio"
    values = (
        LIGHT.value(sum(item.points for item in items), of=(protein_name, ldh_name)),
        LIGHT.other(protein_name, "pleural fluid-to-serum protein ratio", protein, digits=2),
        LIGHT.other(ldh_name, "pleural fluid-to-serum LDH ratio", ldh, digits=2),
    )
    return LIGHT.given(values, items)


TOOLS = (
    CURB_65.tool(Curb65, _curb_65),
    PSI.tool(PneumoniaSeverity, _psi),
    A_A_GRADIENT.tool(AlveolarGradient, _a_a_gradient),
    PF_RATIO.tool(OxygenRatio, _pf_ratio),
    ROX.tool(Rox, _rox),
    LIGHT.tool(PleuralFluid, _light),
)
