"""The training loop: AdamW, one cycle of the learning rate, averaged weights, the same result for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ....core.errors import InputError

Watch: TypeAlias = Callable[[int, int, float], None]
"""Told after each step: steps done, steps in all, the loss."""

Batch: TypeAlias = tuple[NDArray[Any], ...]
"""Inputs (N, C, H, W) float32 first, then whatever the loss takes."""


def check_device(device: str) -> None:
    """Raise InputError for a device this torch cannot compute on."""
    import torch

    gpu = torch.cuda.is_available()
    if device != "cpu" and not (gpu and device.partition(":")[0] == "cuda"):
        raise InputError(
            expected="the device cpu or cuda" if gpu else "the device cpu: torch sees no GPU here",
            got=repr(device),
            fix="leave --device out",
        )


def prepare(seed: int, *, threads: int = 1) -> None:
    """Fix what torch draws from and how it computes; called before a network is made."""
    import torch

    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


def fit(
    model: Any,
    sample_batch: Callable[[np.random.Generator], Batch],
    loss: Callable[..., Any],
    *,
    steps: int,
    lr: float,
    seed: int,
    progress: Watch,
    device: str = "cpu",
    weight_decay: float = 1e-4,
    clip: float = 1.0,
    averaging: float = 0.99,
) -> Any:
    """`model` trained for `steps` batches, as the running average of its weights, on the CPU and in evaluation mode.

    `loss(outputs, *targets)` gives a scalar tensor. The learning rate rises to `lr` over a tenth of the steps and falls
    to nothing along a cosine (Smith & Topin 2018). All chance comes from `seed` and from what `prepare` fixed.
    """
    import torch

    model.to(device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _one_cycle(step / max(1, steps)))
    average = {name: value.detach().clone() for name, value in model.state_dict().items()}
    rng = np.random.default_rng(seed)
    for step in range(steps):
        x, *targets = (torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in sample_batch(rng))
        value = loss(model(x.contiguous(memory_format=torch.channels_last)), *targets)
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
        schedule.step()
        _follow(average, model.state_dict(), min(averaging, (1.0 + step) / (10.0 + step)))
        progress(step + 1, steps, float(value.detach()))
    model.load_state_dict(average)
    return model.to("cpu", memory_format=torch.contiguous_format).eval()


def _one_cycle(done: float) -> float:
    rising = 0.1
    if done < rising:
        return 0.05 + 0.95 * done / rising
    return 0.5 + 0.5 * float(np.cos(np.pi * min(1.0, (done - rising) / (1.0 - rising))))


def _follow(average: dict[str, Any], state: dict[str, Any], keep: float) -> None:
    """Move the average towards the present state; counters are copied."""
    import torch

    with torch.no_grad():
        for name, value in state.items():
            if value.is_floating_point():
                average[name].lerp_(value, 1.0 - keep)
            else:
                average[name].copy_(value)


def dice_and_cross_entropy(outputs: Any, target: Any, weight: Any = None) -> Any:
    """For logits and 0/1 targets (N, C, H, W): binary cross entropy plus one minus soft Dice, per channel.

    `weight` (N, 1 or C, H, W) says how much each pixel counts; 0 leaves it out.
    """
    import torch

    weight = torch.ones_like(target) if weight is None else weight.expand_as(target)
    shares = torch.sigmoid(outputs) * weight
    overlap = (shares * target).sum((0, 2, 3))
    total = shares.sum((0, 2, 3)) + (target * weight).sum((0, 2, 3))
    return cross_entropy(outputs, target, weight) + 1.0 - ((2.0 * overlap + 1.0) / (total + 1.0)).mean()


def cross_entropy(outputs: Any, target: Any, weight: Any = None) -> Any:
    """Binary cross entropy for logits and targets from 0 to 1 (N, C, H, W): right for shares, where Dice is not."""
    import torch

    return torch.nn.functional.binary_cross_entropy_with_logits(outputs, target, weight)


def outline_and_type(
    outputs: Any,
    inside: Any,
    kinds: Any,
    *,
    inside_weight: float = 4.0,
    type_weight: float = 0.2,
    smooth_px: float = 20.0,
) -> Any:
    """For logits (N, 1 + types, H, W), an outline of 0/1 (N, 1, H, W) and types from 0 (N, H, W): a scalar.

    Binary cross entropy plus one minus soft Dice of the outline, picture by picture, so that a small region counts as
    much as a large one; plus, within the outline, `type_weight` times the cross entropy of the type. A pixel within
    the outline counts `inside_weight` times in the cross entropy: regions are small, and nothing is soon learned.
    """
    import torch

    share = torch.sigmoid(outputs[:, 0])
    area = inside[:, 0].sum((1, 2))
    overlap = (share * inside[:, 0]).sum((1, 2))
    dice = (2.0 * overlap + smooth_px) / (share.sum((1, 2)) + area + smooth_px)
    of_type = torch.nn.functional.cross_entropy(outputs[:, 1:], kinds, reduction="none") * inside[:, 0]
    each = of_type.sum((1, 2)) / (area + smooth_px)
    counts = 1.0 + (inside_weight - 1.0) * inside
    return cross_entropy(outputs[:, :1], inside, counts) + 1.0 - dice.mean() + type_weight * each.mean()
