"""Questions that count together: a group is right when all its members are. It knows no benchmark's groups."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

from ...core.errors import InputError


def set_accuracy(right: Sequence[bool], groups: Sequence[str]) -> float:
    """The share of groups of which every member is right; NaN of none. A sample of its own is a group of one.

    It is MediConfusion's set accuracy, of the two pictures of a pair, and the strictest reading of many questions about
    one picture.
    """
    kept = _together(right, groups)
    return sum(all(members) for members in kept.values()) / len(kept) if kept else math.nan


def pair_accuracy(right: Sequence[bool], groups: Sequence[str]) -> float:
    """`set_accuracy` of pairs. Raises InputError where a group has not two members, as when one was left out."""
    uneven = sorted(name for name, members in _together(right, groups).items() if len(members) != 2)
    if uneven:
        raise InputError(
            expected="two answers for each pair",
            got=f"another number for {uneven[0]!r} and {len(uneven) - 1} more",
            fix="run whole pairs, or leave out both of one",
        )
    return set_accuracy(right, groups)


def step_accuracy(right: Sequence[bool], groups: Sequence[str], steps: Sequence[int]) -> dict[int, float]:
    """By step, the share of chains that are right in it and in all their steps before it, of chains that reach so far.

    `groups` names the chain of each answer, `steps` its place there: any rising numbers, none twice in a chain. The
    figure of the last step is `set_accuracy` of the chains that have it. A step answered rightly after a wrong one
    does not count: it does not follow from what was said before.
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


def _together(right: Sequence[bool], groups: Sequence[str]) -> dict[str, list[bool]]:
    _same_length(right, groups)
    kept: dict[str, list[bool]] = defaultdict(list)
    for good, group in zip(right, groups, strict=True):
        kept[group].append(bool(good))
    return kept


def _same_length(right: Sequence[bool], *others: Sequence[object]) -> None:
    if any(len(other) != len(right) for other in others):
        raise InputError(
            expected="one group, and one step where there are steps, for each answer",
            got=f"{len(right)} answers and {', '.join(str(len(other)) for other in others)}",
            fix="give one for each answer",
        )
