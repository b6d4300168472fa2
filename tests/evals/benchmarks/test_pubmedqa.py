"""PubMedQA: no answer leaks into a case, and order and concurrency change nothing."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pytest

from polyclinic import Clinic
from polyclinic.core.errors import InputError
from polyclinic.core.runs import verify_run
from polyclinic.evals.benchmarks.pubmedqa import samples
from polyclinic.evals.sample import Letter, Sample

RECORD = {
    "QUESTION": "Does the new splint help?",
    "CONTEXTS": ["Forty people were randomised.", "Pain was significantly lower with the splint."],
    "reasoning_required_pred": "SECRET",
    "reasoning_free_pred": "SECRET",
    "final_decision": "yes",
    "LONG_ANSWER": "SECRET: it does help.",
}


def test_the_answer_is_never_part_of_the_case(tmp_path: Path) -> None:
    path = tmp_path / "pqal.json"
    path.write_text(json.dumps({"2": RECORD, "11": RECORD}))
    found = list(samples(path))
    assert [sample.case.id for sample in found] == ["pubmedqa-2", "pubmedqa-11"]
    assert found[0].target == Letter(letter="A")
    assert "SECRET" not in found[0].case.model_dump_json()


@pytest.mark.parametrize(
    "text", ["", "[]", '{"x": {}}', '{"1": {"QUESTION": "q", "CONTEXTS": [], "final_decision": "?"}}']
)
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError, match="PubMedQA records by PMID"):
        list(samples(path))
    with pytest.raises(InputError):
        list(samples(tmp_path / "missing.json"))


async def answers(items: list[Sample], runs: Path, concurrency: int) -> dict[str, tuple[str, str | None, str]]:
    clinic, slots = Clinic(runs=runs), asyncio.Semaphore(concurrency)

    async def one(sample: Sample) -> tuple[str, tuple[str, str | None, str]]:
        async with slots:
            report = await clinic.consult(sample.case)
        verify_run(Path(report.trace.path))
        return sample.case.id, (report.status, report.option, report.answer)

    return dict(await asyncio.gather(*map(one, items)))


async def test_fifty_items_at_once_answer_alike_in_any_order(data_dir: Path, tmp_path: Path) -> None:
    items = list(samples(data_dir / "pubmedqa" / "pqal_dev.json"))[:50]
    alone = await answers(items, tmp_path / "1", 1)
    assert len({run.name for run in (tmp_path / "1").glob("pubmedqa-*")}) == 50
    shuffled = random.Random(3).sample(items, len(items))
    assert await answers(shuffled, tmp_path / "50", 50) == alone
    assert await answers(items[::-1], tmp_path / "7", 7) == alone
