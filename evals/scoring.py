"""What was said against what is right: one outcome and the scores of one row. It asks nobody.

An option is right when it is the right one; a short answer when it is one of the accepted ones as VQA and SQuAD compare
texts; a list when it has every item and no other. Answers in other words than the accepted ones count as wrong: the
overlap of words stands beside them. Places are not scored here yet.
"""

from __future__ import annotations

from ..core.errors import InputError
from .metrics.evidence import citations
from .metrics.text import best_over, exact, list_f1, normalised_match, token_f1, vqa_match
from .outcomes import Outcome, Row, Said
from .sample import Answer, Answers, Letter, Sample


def shown_target(sample: Sample) -> str:
    """What is right, as one line."""
    target = sample.target
    if isinstance(target, Letter):
        return f"{target.letter}: {sample.case.options[target.letter]}"
    if isinstance(target, Answer):
        return target.accepted[0]
    if isinstance(target, Answers):
        return "; ".join(names[0] for names in target.items)
    raise InputError(
        expected="a benchmark of options or short answers", got="one of places on pictures",
        fix="leave it out: places are measured by their metrics, not by eval run",
    )  # fmt: skip


def row_of(sample: Sample, said: Said, *, benchmark: str, arm: str, epoch: int) -> Row:
    """The row of one sample: what was said, and what became of it."""
    outcome: Outcome
    target, scores = shown_target(sample), dict[str, float]()
    if said.silence:
        outcome = said.silence
    elif isinstance(sample.target, Letter) and said.option not in sample.case.options:
        outcome = "unparsable"
    else:
        right, scores = _judged(sample, said)
        outcome = "right" if right else "wrong"
    return Row(
        benchmark=benchmark, arm=arm, sample=sample.id, epoch=epoch, group=sample.group, facets=dict(sample.facets),
        asked_with=sample.asked_with, target=target, shown=_shown(sample, said), outcome=outcome,
        scores=scores, said=said,
    )  # fmt: skip


def _judged(sample: Sample, said: Said) -> tuple[bool, dict[str, float]]:
    """Whether it is right, and the scores beside that; what is not defined is left out."""
    scores: dict[str, float] = {}
    target = sample.target
    if isinstance(target, Letter):
        right = said.option == target.letter
    elif isinstance(target, Answer):
        scores = {
            "exact": best_over(exact, said.answer, target.accepted),
            "token F1": best_over(token_f1, said.answer, target.accepted),
        }
        right = max(best_over(each, said.answer, target.accepted) for each in (vqa_match, normalised_match)) == 1.0
    elif isinstance(target, Answers):
        scores = {"list F1": list_f1(_listed(said), target.items, likeness=normalised_match)}
        right = scores["list F1"] == 1.0
    else:
        raise TypeError(f"{type(target).__name__} is no target of a row")
    if sample.gold:
        found = citations(said.cited, sample.gold)
        scores |= {"citation recall": found.recall}
        if said.cited:
            scores |= {"citation precision": found.precision}
    return right, scores


def _listed(said: Said) -> tuple[str, ...]:
    """The items of a list: as they were given, or the lines and comma-separated parts of the answer."""
    if said.answers:
        return said.answers
    parts = said.answer.replace(";", "\n").replace(",", "\n").split("\n")
    return tuple(part.strip(" -*.\t") for part in parts if part.strip(" -*.\t"))


def _shown(sample: Sample, said: Said) -> str:
    if said.silence:
        return said.silence
    if isinstance(sample.target, Letter):
        text = sample.case.options.get(said.option or "", "")
        return f"{said.option}: {text}" if text else said.answer[:200]
    return said.answer[:200]
