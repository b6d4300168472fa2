"""What tests of runs share: invented records in PubMedQA's format, and inspect left clean."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from polyclinic.evals.benchmarks.table import benchmark

PUBMEDQA = benchmark("pubmedqa")


@pytest.fixture
def inspect_clean() -> Iterator[None]:
    """What inspect left open is collected here, where it is ignored, and not in another test."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty records in PubMedQA's format, of which every fourth is answered no."""
    folder = tmp_path_factory.mktemp("data")
    path = folder / PUBMEDQA.place
    path.parent.mkdir(parents=True)
    records = {
        str(1000 + number): {
            "QUESTION": f"Does treatment number {number} lower the blood pressure?",
            "CONTEXTS": [f"Blood pressure was {'not ' if number % 4 == 0 else ''}lower with treatment {number}."],
            "final_decision": "no" if number % 4 == 0 else "yes",
            "LONG_ANSWER": "SECRET",
        }
        for number in range(40)
    }
    path.write_text(json.dumps(records))
    return folder
