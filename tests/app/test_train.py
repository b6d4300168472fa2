"""`polyclinic train` up to where torch is needed: what it takes, and what it says when something is missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from polyclinic.app.train import _Bars, train
from polyclinic.core.errors import InputError, MissingExtraError


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(train)
    return app


def test_its_help_names_every_option(command: typer.Typer) -> None:
    said = CliRunner().invoke(command, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
    for option in ("--data", "--out", "--folds", "--seed", "--device", "--threads", "--only-figures"):
        assert option in said


def test_a_recipe_there_is_not_is_told_before_torch_is_missed(command: typer.Typer, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["vesels", "--data", str(tmp_path), "--out", str(tmp_path)])
    assert isinstance(done.exception, InputError)
    assert "one of the recipes" in str(done.exception)


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed here")
def test_without_torch_the_extra_is_named(command: typer.Typer, tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["vessels", "--data", str(tmp_path), "--out", str(tmp_path)])
    assert isinstance(done.exception, MissingExtraError)
    assert "pip install 'polyclinic[train]'" in str(done.exception)


def test_away_from_a_terminal_each_tenth_of_a_fit_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with _Bars() as bars:
        for done in range(1, 41):
            bars.see("fold 1 of 5", done, 40, 1.0 / done)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[0] == "fold 1 of 5: step 4 of 40, loss 0.250"
