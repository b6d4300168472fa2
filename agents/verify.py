"""The check before an answer goes out, all of it code: does the cited evidence exist, and does it say the same?

It marks every claim supported, unsupported or contradicted, and names the problems the attending should mend.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..core.case import Case
from ..core.evidence import Claim, Evidence, Source, Support
from .requests import Deps
from .state import State
from .tasks import ClaimDraft

_NUMBER = re.compile(r"(?<![\w.])[-−]?\d+(?:[.,]\d+)?(?![\w])")
_SIDES = {"left": re.compile(r"\bleft\b", re.I), "right": re.compile(r"\bright\b", re.I)}
_DENIAL = re.compile(r"\b(no|not|without|normal|absent|excluded|unlikely)\b", re.I)


async def verify(state: State, deps: Deps) -> State:
    """The verdict's claims with their support, and the problems found."""
    if state.get("failure"):
        return State(problems=())
    evidence = evidence_of(state)
    verdict = state["verdict"]
    claims = tuple(check_claim(claim, evidence) for claim in verdict.claims)
    problems = [f"{claim.support}: “{claim.text}”: {claim.why}" for claim in claims if claim.support != "supported"]
    problems += unmentioned(claims, evidence)
    options = state["case"].options
    problems += _loose_numbers(verdict.answer, state["case"], evidence)
    if not verdict.abstains and options and verdict.option not in options:
        problems.append(f"expected one of the options {', '.join(options)}; got {verdict.option!r}")
    if not verdict.abstains and not claims:
        problems.append("the answer makes no claim that could be checked")
    return State(claims=claims, problems=tuple(problems))


def evidence_of(state: State) -> dict[str, Evidence]:
    """All evidence of the case by id: what everyone shares, then each specialist's, in alphabetical order."""
    own = (item for items in state.get("own", {}).values() for item in items)
    return {item.id: item for item in (*state.get("shared", ()), *own)}


def check_claim(claim: ClaimDraft, evidence: Mapping[str, Evidence]) -> Claim:
    """The claim with what the cited evidence makes of it."""
    cited = [evidence[item] for item in claim.evidence if item in evidence]
    missing = [item for item in claim.evidence if item not in evidence]
    support, why = _judge(claim.text, cited, missing)
    return Claim(text=claim.text, evidence=claim.evidence, support=support, why=why)


def _judge(text: str, cited: list[Evidence], missing: list[str]) -> tuple[Support, str]:
    if missing:
        return "unsupported", f"cites {', '.join(missing)}, which does not exist"
    if not cited:
        return "unsupported", "cites no evidence"
    sides = _sides(text)
    theirs = {side for item in cited for side in _sides(item.content)}
    if len(sides) == 1 and len(theirs) == 1 and sides != theirs:
        return "contradicted", f"says {sides.pop()} where the evidence says {theirs.pop()}"
    strays = _stray_numbers(text, cited)
    if strays:
        measured = [item for item in cited if item.value is not None]
        support: Support = "contradicted" if measured else "unsupported"
        return support, f"{', '.join(strays)} is not what {', '.join(item.id for item in cited)} says"
    for item in cited:
        if item.kind == "criterion" and re.search(rf"{_DENIAL.pattern}\W+(\w+\W+)?{re.escape(item.name)}", text, re.I):
            return "contradicted", f"denies {item.name}, whose criterion {item.id} is met"
    return "supported", ""


def unmentioned(claims: tuple[Claim, ...], evidence: Mapping[str, Evidence]) -> list[str]:
    """Criteria that are met and that no claim cites."""
    cited = {item for claim in claims for item in claim.evidence}
    return [
        f"criterion {item.id} is met ({item.name}) and no claim mentions it"
        for item in evidence.values()
        if item.kind == "criterion" and item.id not in cited
    ]


def _loose_numbers(answer: str, case: Case, evidence: Mapping[str, Evidence]) -> list[str]:
    """Numbers of the answer that stand neither in the evidence nor in the question."""
    asked = " ".join((case.question, *case.options.values()))
    given = Evidence(id="", kind="observation", content=asked, source=Source(kind="case", name="question"))
    return [
        f"the answer says {word}, which no evidence says"
        for word in _stray_numbers(answer, [given, *evidence.values()])
    ]


def _sides(text: str) -> set[str]:
    return {side for side, pattern in _SIDES.items() if pattern.search(text)}


def _stray_numbers(text: str, cited: list[Evidence]) -> list[str]:
    """Numbers of the claim that no cited evidence carries, at the precision the claim gives."""
    values = [value for item in cited for value in _numbers(item.content).values()]
    values += [item.value for item in cited if item.value is not None]
    return [word for word, number in _numbers(text).items() if not any(_same(number, value, word) for value in values)]


def _numbers(text: str) -> dict[str, float]:
    return {word: float(word.replace("−", "-").replace(",", ".")) for word in _NUMBER.findall(text)}


def _same(number: float, value: float, word: str) -> bool:
    decimals = len(re.split(r"[.,]", word)[1]) if re.search(r"[.,]", word) else 0
    return abs(number - value) <= 0.5 * 10.0**-decimals + 1e-9
