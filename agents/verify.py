"""The check before an answer goes out, all of it code: does the cited evidence exist, and does it say the same?

It marks every claim supported, unsupported or contradicted, and names the problems the attending should mend.
"Supported" means that the cited evidence exists and nothing in it contradicts the claim, not that the claim is proven.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..core.case import Case
from ..core.evidence import Claim, Evidence, Source, Support
from ..knowledge.negation import denies
from ..knowledge.text import sentences
from .requests import Deps
from .state import State
from .statements import Quantity, agrees, dates, quantities, sides, unit_of
from .tasks import ClaimDraft


async def verify(state: State, deps: Deps) -> State:
    """The verdict's claims with their support, and the problems found."""
    if state.get("failure"):
        return State(problems=())
    case, verdict, evidence = state["case"], state["verdict"], evidence_of(state)
    claims = tuple(check_claim(claim, evidence) for claim in verdict.claims)
    problems = [f"{claim.support}: “{claim.text}”: {claim.why}" for claim in claims if claim.support != "supported"]
    problems += unmentioned(claims, evidence)
    problems += _loose_numbers(verdict.answer, case, evidence)
    problems += [f"the answer {denial}" for denial in _denials(verdict.answer, evidence)]
    if not verdict.abstains and case.options and verdict.option not in case.options:
        problems.append(f"expected one of the options {', '.join(case.options)}; got {verdict.option!r}")
    if not verdict.abstains and not claims:
        problems.append("the answer makes no claim that could be checked")
    return State(claims=claims, problems=tuple(problems))


def evidence_of(state: State) -> dict[str, Evidence]:
    """All evidence of the case by id: what everyone shares, then each specialist's, in alphabetical order."""
    own = (item for items in state.get("own", {}).values() for item in items)
    return {item.id: item for item in (*state.get("shared", ()), *own)}


def check_claim(claim: ClaimDraft, evidence: Mapping[str, Evidence]) -> Claim:
    """The claim with what the cited evidence makes of it, and every criterion that is met."""
    cited = [evidence[item] for item in claim.evidence if item in evidence]
    missing = [item for item in claim.evidence if item not in evidence]
    support, why = _judge(claim.text, cited, missing)
    denied = _denials(claim.text, evidence)
    if support == "supported" and denied:
        support, why = "contradicted", "; ".join(denied)
    return Claim(text=claim.text, evidence=claim.evidence, support=support, why=why)


def unmentioned(claims: tuple[Claim, ...], evidence: Mapping[str, Evidence]) -> list[str]:
    """Criteria that are met and that no claim cites, or that every claim citing them denies."""
    return [
        f"criterion {item.id} is met ({item.name}) and no claim mentions it"
        for item in evidence.values()
        if item.kind == "criterion"
        and not any(item.id in claim.evidence and not denies(claim.text, item.name) for claim in claims)
    ]


def _judge(text: str, cited: list[Evidence], missing: list[str]) -> tuple[Support, str]:
    if missing:
        return "unsupported", f"cites {', '.join(missing)}, which does not exist"
    if not cited:
        return "unsupported", "cites no evidence"
    said, theirs = sides(text), {side for item in cited for side in _sides_of(item)}
    if len(said) == 1 and len(theirs) == 1 and said != theirs:
        return "contradicted", f"says {said.pop()} where the evidence says {theirs.pop()}"
    strays = _strays(text, cited)
    if strays:
        measured = any(item.value is not None for item in cited)
        support: Support = "contradicted" if measured else "unsupported"
        return support, f"{', '.join(strays)} is not what {', '.join(item.id for item in cited)} says"
    return "supported", ""


def _denials(text: str, evidence: Mapping[str, Evidence]) -> list[str]:
    """The criteria that are met, cited or not, and that the text denies.

    What is quoted from a document, whole or by sentences, speaks of patients in general and denies nothing of this one.
    """
    books = [item.content for item in evidence.values() if item.source.kind == "document"]
    for book in filter(None, books):
        text = text.replace(book, " ")
    pieces = (text[start:end] for start, end in sentences(text))
    own = " ".join(piece for piece in pieces if not any(piece in book for book in books))
    met = (item for item in evidence.values() if item.kind == "criterion")
    return [f"denies {item.name}, whose criterion {item.id} is met" for item in met if denies(own, item.name)]


def _sides_of(item: Evidence) -> set[str]:
    shown = {"bilateral": {"left", "right"}, None: set[str]()}.get(item.laterality, {item.laterality or ""})
    return sides(item.content) | shown


def _loose_numbers(answer: str, case: Case, evidence: Mapping[str, Evidence]) -> list[str]:
    """Numbers of the answer that stand neither in the evidence nor in what came with the case."""
    facts = (f"{name}: {value}" for name, value in case.metadata.items())
    told = "\n".join((case.question, *case.options.values(), *case.context, *facts))
    given = Evidence(id="", kind="observation", content=told, source=Source(kind="case", name="question"))
    return [
        f"the answer says {words}, which no evidence says" for words in _strays(answer, [given, *evidence.values()])
    ]


def _strays(text: str, cited: list[Evidence]) -> list[str]:
    """Numbers and dates of the text that no cited evidence carries, at the precision the text gives.

    A date is compared with dates only, and only where the evidence has some.
    """
    known = [quantity for item in cited for quantity in _known(item)]
    days = {day for item in cited for day in dates(item.content)}
    strays = [said.words for said in quantities(text) if not any(agrees(said, carried) for carried in known)]
    if days:
        strays += [day.isoformat() for day in sorted(dates(text) - days)]
    return list(dict.fromkeys(strays))


def _known(item: Evidence) -> list[Quantity]:
    """What one piece of evidence carries: the numbers of its text, the years of its dates, its value and how sure."""
    stated = list(quantities(item.content))
    years = [Quantity(words=str(day.year), value=day.year) for day in dates(item.content)]
    if item.value is None:
        return [*stated, *years]
    value = Quantity(words="", value=item.value, unit=unit_of(item.unit))
    # The same number without its unit is the value: "The ratio is 0.57." states a pure number, not any 0.57.
    stated = [replace(said, unit=value.unit) if said.unit is None and agrees(said, value) else said for said in stated]
    margin = [] if item.uncertainty is None else [replace(value, value=item.uncertainty, margin=True)]
    return [*stated, *years, value, *margin]
