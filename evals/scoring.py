"""What was said against what is right: one outcome and the scores of one row. It asks nobody.

An option is right when it is the right one; a short answer when it is one of the accepted ones as VQA and SQuAD compare
texts, with the same numbers and signs; a list when it has every item and no other. Answers in other words than the
accepted ones count as wrong: the overlap of words stands beside them. When places are right, places.py says.
"""

from __future__ import annotations

from pathlib import Path

from ..core.errors import InputError
from .metrics.evidence import citations
from .metrics.text import best_over, chrf, exact, items_in, list_f1, rouge_l, same_answer, token_f1
from .outcomes import Outcome, Row, Said
from .places import LEAST_SURE, judged_boxes, judged_mask, judged_points, shown_places, there
from .sample import Answer, Answers, Boxes, Letter, Mask, Points, Sample

RIGHT = {
    "answer": "one of the accepted answers, as VQA and SQuAD compare texts, with the same numbers and signs.",
    "answers": "every item of the list and no other.",
    "mask": "a Dice of 0.5 or more; the mean scores say more. Where one region alone is empty, its HD95 is the "
    "picture's diagonal.",
    "boxes": "every box met by one of its label at IoU 0.5 and no other, rare with many boxes: read the scores.",
    "points": "every point met by one of its label and no other; read the scores.",
}
"""When an answer counts as right, by the kind of task; that of a choice goes without saying."""


def shown_target(sample: Sample) -> str:
    """What is right, as one line."""
    target = sample.target
    if isinstance(target, Letter):
        return f"{target.letter}: {sample.case.options[target.letter]}"
    if isinstance(target, Answer):
        return target.accepted[0]
    if isinstance(target, Answers):
        return "; ".join(names[0] for names in target.items)
    if isinstance(target, Mask):
        return f"the {target.label} as drawn"
    if isinstance(target, Boxes):
        return shown_places([label for label, _ in target.boxes])
    return shown_places([label for label, _ in target.points])


def row_of(sample: Sample, said: Said, *, benchmark: str, arm: str, epoch: int, root: Path = Path()) -> Row:
    """The row of one sample: what was said, and what became of it. Masks are named relative to `root`.

    A mask that is not of the picture's size, or cannot be read, has failed.
    """
    outcome: Outcome
    target, scores = shown_target(sample), dict[str, float]()
    if said.silence:
        outcome = said.silence
    elif not _readable(sample, said):
        outcome = "unparsable"
    else:
        try:
            right, scores = _judged(sample, said, root)
            outcome = "right" if right else "wrong"
        except InputError as error:
            outcome, said = "failed", said.model_copy(update={"why": str(error)})
    return Row(
        benchmark=benchmark, arm=arm, sample=sample.id, epoch=epoch, group=sample.group, facets=dict(sample.facets),
        asked_with=sample.asked_with, target=target, shown=_shown(sample, said), outcome=outcome,
        scores=scores, said=said, there=there(sample),
    )  # fmt: skip


def _readable(sample: Sample, said: Said) -> bool:
    """Whether what was said is of the kind that was asked for: one of the options, a mask, or places."""
    if isinstance(sample.target, Letter):
        return said.option in sample.case.options
    if isinstance(sample.target, Mask):
        return bool(said.mask)
    if isinstance(sample.target, Boxes | Points):
        return said.boxes is not None or bool(said.counts)
    return True


def _judged(sample: Sample, said: Said, root: Path) -> tuple[bool, dict[str, float]]:
    """Whether it is right, and the scores beside that; what is not defined is left out."""
    scores: dict[str, float] = {}
    target = sample.target
    if isinstance(target, Letter):
        right = said.option == target.letter
    elif isinstance(target, Answer):
        scores = {
            "exact": best_over(exact, said.answer, target.accepted),
            "token F1": best_over(token_f1, said.answer, target.accepted),
            "ROUGE-L": best_over(rouge_l, said.answer, target.accepted),
            "chrF": best_over(chrf, said.answer, target.accepted),
        }
        right = best_over(same_answer, said.answer, target.accepted) == 1.0
    elif isinstance(target, Answers):
        listed = said.answers or items_in(said.answer)
        scores = {"list F1": list_f1(listed, target.items, likeness=same_answer)}
        right = scores["list F1"] == 1.0
    elif isinstance(target, Mask):
        right, scores = judged_mask(sample, target, said, root)
    elif isinstance(target, Boxes):
        right, scores = judged_boxes(sample, target, said)
    else:
        right, scores = judged_points(target, said)
    if sample.gold:
        found = citations(said.cited, sample.gold)
        scores |= {"citation recall": found.recall}
        if said.cited:
            scores |= {"citation precision": found.precision}
    return right, scores


def _shown(sample: Sample, said: Said) -> str:
    if said.silence:
        return said.silence
    if isinstance(sample.target, Letter):
        text = sample.case.options.get(said.option or "", "")
        return f"{said.option}: {text}" if text else said.answer[:200]
    if isinstance(sample.target, Boxes | Points) and said.boxes is not None:
        return shown_places([place.label for place in said.boxes if place.score >= LEAST_SURE])
    return said.answer[:200]
