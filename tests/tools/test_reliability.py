"""What the shipped tools' findings are said with in a contradiction: a probability only where the value is one, and
the figure that was measured for this finding or none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from polyclinic.agents.evidence import Measured, measured
from polyclinic.core.case import Image
from polyclinic.core.evidence import Evidence
from polyclinic.tools.card import Measurement, Tool, ToolResult
from polyclinic.tools.card import measured as measurement
from polyclinic.tools.classical import blood_smear_counts, chest_lungs, dermoscopy_abcd, fundus_bright_lesions
from polyclinic.tools.conflicts import conflicts, readings, report_stances, stances
from polyclinic.tools.imaging.store import ImageStore, TakenIn
from polyclinic.tools.learned import blood_cells, pneumonia
from polyclinic.tools.neural import zero_shot
from tests.tools.classical.test_chest_lungs import chest
from tests.tools.classical.test_chest_lungs import run as run_chest

Take = Callable[..., TakenIn]
SHIPPED = (
    chest_lungs, pneumonia, fundus_bright_lesions, dermoscopy_abcd, blood_cells, blood_smear_counts, zero_shot,
)  # fmt: skip
CARDS = {module.TOOL.card.name: module.TOOL.card for module in SHIPPED}
IMAGE = Image(blob="a" * 64)


def evidence(tool: Tool, *measurements: Measurement) -> list[Evidence]:
    """What a tool's measurements on one image become."""
    result = ToolResult(measurements=measurements)
    return measured(tool.card.name, 1, Measured(card=tool.card, result=result, image=IMAGE, label="", span_id="s"))


def test_a_cardiothoracic_ratio_is_no_probability_and_has_its_own_reliability(take: Take, store: ImageStore) -> None:
    ratio = run_chest(chest(60), take, store).ratio
    assert ratio.says == "absent"
    seen = evidence(chest_lungs.TOOL, ratio)
    assert [item.kind for item in seen] == ["measurement"]
    (found,) = conflicts([*stances(seen, CARDS), *report_stances("Cardiomegaly.")])
    assert found.sentence == (
        "the report states cardiomegaly; chest_lungs (AUROC of the ratio for a heart that readers call enlarged 0.872, "
        "n = 19) takes it to be absent."
    )


def test_a_probability_of_pneumonia_is_said_as_one_with_its_auroc() -> None:
    claim = measurement(
        "pneumonia_probability", 0.81, "1", "Pneumonia, {}.", digits=2, finding="pneumonia", says="present",
        probability=True,
    )  # fmt: skip
    seen = evidence(pneumonia.TOOL, claim)
    assert [item.kind for item in seen] == ["classification"]
    (found,) = conflicts([*stances(seen, CARDS), *report_stances("No pneumonia.")])
    assert found.sentence == (
        "pneumonia (AUROC of pneumonia against no finding 0.861, n = 111) takes pneumonia to be present with a "
        "probability of 0.81; the report denies it."
    )


def test_a_score_of_likeness_is_no_probability() -> None:
    thresholds = zero_shot.Thresholds(
        encoder="e", ontology="o", measured_on="pictures",
        findings={"pneumonia": zero_shot.Threshold(absent_below=0.3, present_above=0.6)},
    )  # fmt: skip
    score = zero_shot.FindingScore(finding="pneumonia", score=0.71, name_score=0.71, attributes=())
    seen = evidence(zero_shot.TOOL, zero_shot._told(score, "pneumonia", thresholds)[0])
    (found,) = conflicts([*stances(seen, CARDS), *report_stances("No pneumonia.")])
    assert found.sentence == (
        f"{zero_shot.NAME} (reliability not measured) takes pneumonia to be present; the report denies it."
    )


@pytest.mark.parametrize(
    ("tool", "name", "finding"),
    [
        (fundus_bright_lesions.TOOL, "bright spots", "hard-exudates"),
        (fundus_bright_lesions.TOOL, "bright spot area", "drusen"),
        (dermoscopy_abcd.TOOL, "total dermoscopy score", "melanoma"),
    ],
)
def test_a_figure_of_something_else_is_no_reliability(tool: Tool, name: str, finding: str) -> None:
    assert tool.card.figures
    claim = measurement(name, 5.5, "1", "{}", digits=1, finding=finding, says="undecided")
    (found,) = stances(evidence(tool, claim), CARDS)
    assert (found.reliability, found.probability) == (None, None)


def test_two_counters_of_one_smear_are_said_with_the_error_of_each_count() -> None:
    counts = [
        evidence(tool, measurement(blood_cells.COUNTS["RBC"], value, "1", "{}", digits=0, uncertainty=error))[0]
        for tool, value, error in ((blood_cells.TOOL, 12, 2.9), (blood_smear_counts.TOOL, 24, 5.6))
    ]
    (found,) = conflicts((), readings(counts, CARDS))
    assert found.sentence == (
        "blood_cells (RBC count, mean absolute error in cells per picture 2.873, n = 292) measures red cells in the "
        "picture as 12 ± 2.9, blood_smear_counts (red cell count, mean absolute error 5.586, n = 87) as 24 ± 5.6: "
        "they differ by more than both uncertainties together."
    )


@pytest.mark.parametrize(("value", "unit"), [(1.2, "1"), (-0.1, "1"), (62.0, "%"), (0.6, "mm")])
def test_what_cannot_be_a_probability_is_refused_as_one(value: float, unit: str) -> None:
    assert not measurement("p", value, unit, "{}", digits=1).probability
    with pytest.raises(ValidationError, match=r"is no probability"):
        measurement("p", value, unit, "{}", digits=1, probability=True)
