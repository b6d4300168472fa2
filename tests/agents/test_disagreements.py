"""Tools that contradict each other are shown to the attending and to the reader, with what was measured of each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from polyclinic import Case, Clinic, Image
from polyclinic.agents.clinic import replay_run
from polyclinic.tools.card import Figure, ImageArguments, Measurement, Tool, ToolCard, ToolOutput, measured
from polyclinic.tools.imaging.store import ImageStore


class Opinionated(ToolOutput):
    pneumonia: Measurement


def _present(arguments: ImageArguments, images: ImageStore) -> Opinionated:
    return Opinionated(
        pneumonia=measured(
            "pneumonia_probability", 0.91, "1", "The probability of pneumonia is {}.", digits=2, finding="pneumonia",
            says="present", probability=True,
        )
    )  # fmt: skip


def _absent(arguments: ImageArguments, images: ImageStore) -> Opinionated:
    return Opinionated(
        pneumonia=measured(
            "opacity_share", 1.0, "%", "Opacities cover {} of the lungs.", digits=0, finding="pneumonia", says="absent"
        )
    )


def _tool(name: str, run: Callable[[ImageArguments, ImageStore], Opinionated], auroc: float) -> Tool:
    card = ToolCard(
        name=name, version="1.0.0", summary="Looks for pneumonia.", measures=("pneumonia",), modalities=("xray",),
        figures=(Figure(metric="AUROC of pneumonia", value=auroc, dataset="a set", n=50, about=("pneumonia",)),),
    )  # fmt: skip
    return Tool(card=card, arguments=ImageArguments, output=Opinionated, run=run)


def _case(picture: Path) -> Case:
    return Case(question="Is there pneumonia?", images=(Image(path=str(picture), modality="xray", body_part="chest"),))


async def test_a_contradiction_is_evidence_a_claim_and_a_limitation(noise: Path, tmp_path: Path) -> None:
    tools = [_tool("sees_it", _present, 0.86), _tool("does_not", _absent, 0.7)]
    clinic = Clinic(runs=tmp_path / "runs", tools=tools)
    report = await clinic.consult(_case(noise))
    (conflict,) = (item for item in report.evidence if item.name == "conflict")
    assert "sees_it" in conflict.content
    assert "0.86" in conflict.content
    assert "does_not" in conflict.content
    cited = {item.id: item for item in report.evidence}
    assert [cited[name].says for name in conflict.of] == ["present", "absent"]
    assert conflict.content in report.limitations
    assert any(conflict.id in claim.evidence and claim.support == "supported" for claim in report.claims)
    again = await replay_run(tmp_path / "runs" / report.trace.path.split("runs/")[-1])
    assert [item for item in again.evidence if item.name == "conflict"] == [conflict]


async def test_tools_that_agree_make_no_conflict(noise: Path, tmp_path: Path) -> None:
    tools = [_tool("sees_it", _present, 0.86), _tool("sees_it_too", _present, 0.7)]
    report = await Clinic(runs=tmp_path / "runs", tools=tools).consult(_case(noise))
    assert not [item for item in report.evidence if item.name == "conflict"]
