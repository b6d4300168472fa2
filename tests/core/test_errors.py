"""Errors say what was expected, what came and what to do, and recorded ones come back as they were."""

from __future__ import annotations

import pickle

import pytest

from polyclinic.core.errors import (
    BudgetSpentError,
    DecisionError,
    MissingExtraError,
    ModelError,
    PolyclinicError,
    StorageError,
    ToolBrokenError,
    ToolRefusedError,
)


@pytest.mark.parametrize("kind", [ModelError, BudgetSpentError, ToolRefusedError, ToolBrokenError])
def test_a_recorded_error_comes_back_as_it_was(kind: type[DecisionError]) -> None:
    error = kind(expected="a", got="b", fix="c")
    again = DecisionError.from_record(error.as_record())
    assert type(again) is kind
    assert str(again) == str(error) == "expected a; got b; c"


def test_the_cause_is_kept_and_a_record_without_one_is_read() -> None:
    late = ModelError(expected="a", got="b", fix="c", cause="late")
    assert DecisionError.from_record(late.as_record()).cause == "late"
    plain = {"type": "ModelError", "expected": "a", "got": "b", "fix": "c"}
    assert DecisionError.from_record(plain).cause == ""
    assert DecisionError.from_record(plain).as_record() == plain


def test_errors_cross_process_borders() -> None:
    error = pickle.loads(pickle.dumps(ModelError(expected="a", got="b", fix="c", cause="late")))  # noqa: S301 - our own
    assert isinstance(error, ModelError)
    assert (error.fix, error.cause) == ("c", "late")
    other = pickle.loads(pickle.dumps(StorageError(expected="a", got="b", fix="c")))  # noqa: S301 - our own bytes
    assert isinstance(other, StorageError)


def test_a_missing_extra_says_what_to_type() -> None:
    assert "pip install 'polyclinic[cpu]'" in str(MissingExtraError.of("faiss-cpu", "cpu"))


def test_the_tree_is_the_one_drawn_on_top() -> None:
    import polyclinic.core.errors as module

    def below(kind: type) -> set[str]:
        return {name for child in kind.__subclasses__() for name in (child.__name__, *below(child))}

    drawn = {word for word in (module.__doc__ or "").split() if word.endswith("Error")}
    assert below(PolyclinicError) | {"PolyclinicError"} == drawn
