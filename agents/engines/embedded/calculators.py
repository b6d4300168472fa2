"""Which calculator a question asks for, and its arguments where the record has all of them; else how a person runs it.

No value is read out of text, and no finding is taken to be absent because nobody noted it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ....core.case import Case
from ....core.evidence import Evidence
from ....knowledge.text import terms
from ....tools.card import ToolCard
from ...shelf import DEMOGRAPHIC, named_in
from ...statements import quantities
from ...tasks import ClaimDraft, ToolRequest

OPENING = "The calculator "
"""How the sentence on a calculator that was not run begins."""

_ASKED = re.compile(
    r"(?:\bwhat(?:['’]s| is| are| was| would)|\bhow (?:high|large|big|much) (?:is|was)"
    r"|\b(?:calculate|compute|estimate|determine|work out))\s+(?!an? )(?P<what>[^,;?.]*?)"
    r"(?=[,;?.]|$|\b(?:of|with|in|for|if|when|given|from|at|using)\b)"
    r"|(?:^|[.!?:;,]\s+)(?P<short>(?:[^\s,;.?]+\s+){0,3}[^\s,;.?]+)\?",
    re.IGNORECASE,
)
_OF_NOBODY = re.compile(r"\b(?:normal|reference|range|cut-?off|threshold|limit|definition|meaning)s?\b", re.IGNORECASE)
_OF_SOMEBODY = re.compile(r"\b(?:his|her|their|my|our|patient['’]?s?)\b", re.IGNORECASE)


def asked_for(case: Case, cards: Iterable[ToolCard]) -> ToolCard | None:
    """The calculator whose result the question asks for, of several the one with the fewest arguments that the case
    does not name; none for what is normal, or for what a score is where nothing is said of a patient."""
    text = "\n".join((case.question, *case.context))
    if not (_OF_SOMEBODY.search(text) or quantities(text) or case.visits or case.metadata):
        return None
    labs = (lab.name for visit in case.visits for lab in visit.labs)
    said = set(terms("\n".join((text, *labs))))

    def unnamed(card: ToolCard) -> tuple[int, int, str]:
        arguments = [set(terms(name.replace("_", " "))) for name in card.arguments if name not in DEMOGRAPHIC]
        return sum(not words <= said for words in arguments), len(arguments), card.name

    return min(named_in(result_wanted(case.question), cards), key=unnamed, default=None)


def result_wanted(question: str) -> str:
    """What the question asks the value of, in its own words."""
    stretches = (match["what"] or match["short"] or "" for match in _ASKED.finditer(question))
    return " ; ".join(stretch for stretch in stretches if not _OF_NOBODY.search(stretch))


@dataclass(frozen=True, kw_only=True)
class Filled:
    """The arguments of a calculator from the record, and the laboratory values among them."""

    arguments: dict[str, str | int | float | bool] = field(default_factory=dict)
    labs: tuple[Evidence, ...] = ()

    def request(self, card: ToolCard) -> ToolRequest:
        return ToolRequest(tool=card.name, arguments=self.arguments)


def filled(card: ToolCard, case: Case, evidence: Iterable[Evidence]) -> Filled | None:
    """Age and sex from the case's metadata, the rest from the newest laboratory values of just these names, with their
    units; None when one that is required is not known this way, or is spoken of in the text: what that says may be
    newer than the record."""
    told = set(terms("\n".join((case.question, *case.context))))
    recorded = [item for item in evidence if item.source.kind == "visit" and item.value is not None and item.unit]
    newest = {tuple(terms(item.name)): item for item in recorded}  # visits are told oldest first
    arguments: dict[str, str | int | float | bool] = {}
    labs: list[Evidence] = []
    for name in _required(card):
        words = tuple(terms(name.replace("_", " ")))
        lab = None if told.issuperset(words) else newest.get(words)
        fact = case.metadata.get(name) if name in ("age", "sex") else None
        if fact is not None:
            arguments[name] = fact.strip().lower() if isinstance(fact, str) else fact
        elif lab is not None and card.arguments[name].get("type") == "string":
            arguments[name] = f"{lab.value:.10g} {lab.unit}"
            labs.append(lab)
        else:
            return None
    return Filled(arguments=arguments, labs=tuple(labs))


def worked_out(result: Evidence, labs: Sequence[Evidence]) -> ClaimDraft:
    """The result with the laboratory values it comes from, each with its day."""
    given = ", ".join(f"{lab.name} {lab.value:.10g} {lab.unit} of {lab.date}" for lab in labs)
    text = f"{result.content.removesuffix('.')}; worked out from {given}." if labs else result.content
    return ClaimDraft(text=text, evidence=(result.id, *(lab.id for lab in labs)))


def how_to_run(card: ToolCard) -> str:
    """The sentence that is said in the place of a result."""
    values = " ".join(f"--set {name}=…" for name in _required(card))
    return (
        f"{OPENING}{card.name} works this out, but this engine reads no values out of text; "
        f"give them to it: `polyclinic tools run {card.name} {values}`."
    )


def _required(card: ToolCard) -> list[str]:
    return [name for name, schema in card.arguments.items() if "default" not in schema]
