"""Every error Polyclinic raises on purpose: one tree, each saying what was expected, what came and what to do.

    PolyclinicError
    ├── SetupError               the user's set-up: exit code 2
    │   ├── MissingExtraError        an optional package is not installed
    │   ├── RunLockedError           another process is writing this run
    │   └── StorageError             the disk is full, the folder read-only, the file gone
    ├── InputError               a case, an image or an option that cannot be used: exit code 2
    ├── DecisionError            something a run asked for failed; recorded in its trace and replayed
    │   ├── ModelError               the model timed out, was unreachable or gave no valid reply
    │   ├── BudgetSpentError         the case's calls, tokens or seconds are used up
    │   ├── ToolRefusedError         try again differently: the agent sees it
    │   └── ToolBrokenError          the tool itself failed: the run sees it
    └── TraceError               a trace that is damaged or incomplete: exit code 1
        └── DivergenceError          a replay asked for something its trace does not hold

Anything else that escapes is a bug.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

Cause: TypeAlias = Literal["", "late"]
"""Why there was no outcome, where the class of the error does not say: `late` when a deadline passed."""


class PolyclinicError(Exception):
    """One plain line: what was expected, what came, and what to do about it."""

    def __init__(self, *, expected: str, got: str, fix: str) -> None:
        self.expected, self.got, self.fix = expected, got, fix
        super().__init__(f"expected {expected}; got {got}; {fix}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _revive, (type(self), self.expected, self.got, self.fix)


class SetupError(PolyclinicError):
    """The installation or its settings cannot do what was asked."""


class MissingExtraError(SetupError):
    """An optional package is needed and not installed."""

    @classmethod
    def of(cls, package: str, extra: str) -> MissingExtraError:
        return cls(
            expected=f"the package {package}",
            got="no such package installed",
            fix=f"type: pip install 'polyclinic[{extra}]'",
        )


class RunLockedError(SetupError):
    """Another writer holds this run."""


class StorageError(SetupError):
    """A file could not be read or written."""


class InputError(PolyclinicError):
    """The case, an image or an argument is not usable as given."""


class DecisionError(PolyclinicError):
    """An outcome that is recorded: asking again in a replay raises the same error."""

    def __init__(self, *, expected: str, got: str, fix: str, cause: Cause = "") -> None:
        super().__init__(expected=expected, got=got, fix=fix)
        self.cause = cause

    def __reduce__(self) -> tuple[Any, ...]:
        return DecisionError.from_record, (self.as_record(),)

    def as_record(self) -> dict[str, str]:
        """What a trace keeps; the cause only where one is stated, as in traces that know of none."""
        record = {"type": type(self).__name__, "expected": self.expected, "got": self.got, "fix": self.fix}
        return record | ({"cause": self.cause} if self.cause else {})

    @staticmethod
    def from_record(record: dict[str, str]) -> DecisionError:
        kind = _RECORDED.get(record["type"], DecisionError)
        cause: Cause = "late" if record.get("cause") == "late" else ""
        return kind(expected=record["expected"], got=record["got"], fix=record["fix"], cause=cause)


class ModelError(DecisionError):
    """The engine gave no usable reply."""


class BudgetSpentError(DecisionError):
    """Nothing of the case's budget is left for this call."""


class ToolRefusedError(DecisionError):
    """The tool cannot work with this input; a different request may succeed."""


class ToolBrokenError(DecisionError):
    """The tool crashed, timed out or returned something outside its own contract."""


class TraceError(PolyclinicError):
    """A trace is damaged, unreadable or unfinished."""


class DivergenceError(TraceError):
    """The replayed program asked for something else than it did when it was recorded."""


_RECORDED: dict[str, type[DecisionError]] = {
    kind.__name__: kind for kind in (ModelError, BudgetSpentError, ToolRefusedError, ToolBrokenError)
}


def _revive(kind: type[PolyclinicError], expected: str, got: str, fix: str) -> PolyclinicError:
    return kind(expected=expected, got=got, fix=fix)
