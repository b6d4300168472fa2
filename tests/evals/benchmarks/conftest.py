"""The fixtures' folder: files in the published formats, laid out as a folder of data sets, with invented content."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from polyclinic.evals.benchmarks.table import benchmark

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The folder of the data sets."""
    return FIXTURES


@pytest.fixture
def copied(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of it that a test may change, with the set that the test's parameter `name` names."""
    top = benchmark(request.node.callspec.params["name"]).place.split("/")[0]
    shutil.copytree(FIXTURES / top, tmp_path / "data" / top)
    return tmp_path / "data"
