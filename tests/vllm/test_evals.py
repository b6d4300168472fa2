"""Evaluations on a real vLLM server: every arm is asked the same samples, and what becomes of each is counted."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image as Picture

from polyclinic.core.settings import Budget, Sampling
from polyclinic.evals.arms import ARMS
from polyclinic.evals.results import by_arm, results
from polyclinic.evals.run import Plan, run

URL = os.environ.get("VLLM_TEST_URL", "")

pytestmark = [
    pytest.mark.skipif(not URL, reason="no vLLM server: type `make test-vllm`, or set VLLM_TEST_URL"),
    pytest.mark.usefixtures("loopback"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),  # streams inspect leaves open
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SERVED = tuple(name for name, kind in ARMS.items() if kind.served)
BRIEF = Sampling(temperature=2.0, max_items=1, max_chars=12, max_tokens=300)


@pytest.fixture(scope="module")
def evaluations() -> Iterator[ModuleType]:
    """The module evaluations.py."""
    spec = importlib.util.spec_from_file_location("evaluations", Path(__file__).with_name("evaluations.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["evaluations"] = module
    spec.loader.exec_module(module)
    yield module
    gc.collect()


def invented(folder: Path) -> Path:
    """Four records in VQA-RAD's format with made-up pictures."""
    place = folder / "vqa_rad" / "dev.json"
    (place.parent / "images").mkdir(parents=True)
    records = []
    for number in range(4):
        Picture.effect_noise((160, 160), 60 + number).convert("RGB").save(place.parent / "images" / f"{number}.png")
        records.append({
            "qid": str(number), "question": f"Is finding number {number} there?",
            "answer": "No" if number % 2 else "Yes", "answer_type": "CLOSED",
            "image_name": f"{number}.png", "image_organ": "CHEST", "question_type": "PRES",
        })  # fmt: skip
    place.write_text(json.dumps(records))
    return folder


def test_every_arm_is_counted_on_the_same_samples(evaluations: ModuleType, tmp_path: Path) -> None:
    data = evaluations.spoilt(invented(tmp_path / "set"), tmp_path / "data", 4, black=1, cut=1)
    settings = evaluations.settings(URL, BRIEF, Budget(calls=8))
    rows = run([evaluations.SET], SERVED, data, tmp_path / "out", settings, Plan(concurrency=4))
    groups = by_arm(rows)
    assert {arm for _, arm in groups} == set(SERVED)
    assert {tuple(row.sample for row in group) for group in groups.values()} == {
        tuple(row.sample for row in rows if row.arm == "team")
    }
    for found in results(rows):
        assert sum(found.outcomes.values()) == found.n == 4
        assert found.outcomes["needs_human"] == 1
        assert found.outcomes["failed"] >= 1
    asked = [row for row in rows if row.outcome not in ("needs_human", "failed")]
    assert all(row.said.prompt_tokens > 1000 for row in asked)
