"""Chains of questions, of which a step counts with all that come before it. It knows no benchmark's chains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ...core.errors import InputError


def step_accuracy(right: Sequence[bool], groups: Sequence[str], steps: Sequence[int]) -> dict[int, float]:
    """By step, the share of chains that are right in it and in all their steps before it, of chains that reach so far.

    `groups` names the chain of each answer, `steps` its place there: any rising numbers, none twice in a chain. The
    figure of the last step is the share of whole chains that are right in all. A step answered rightly after a wrong
    one does not count: it does not follow from what was said before.
    """
    _same_length(right, groups, steps)
    chains: dict[str, dict[int, bool]] = defaultdict(dict)
    for good, group, step in zip(right, groups, steps, strict=True):
        if step in chains[group]:
            raise InputError(
                expected="each step of a chain once",
                got=f"step {step} of {group!r} twice",
                fix="score one epoch at a time",
            )
        chains[group][step] = bool(good)
    reached: dict[int, list[bool]] = defaultdict(list)
    for chain in chains.values():
        so_far = True
        for step in sorted(chain):
            so_far = so_far and chain[step]
            reached[step].append(so_far)
    return {step: sum(reached[step]) / len(reached[step]) for step in sorted(reached)}


def _same_length(right: Sequence[bool], *others: Sequence[object]) -> None:
    if any(len(other) != len(right) for other in others):
        raise InputError(
            expected="one group, and one step where there are steps, for each answer",
            got=f"{len(right)} answers and {', '.join(str(len(other)) for other in others)}",
            fix="give one for each answer",
        )
