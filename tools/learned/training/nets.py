"""Two small architectures: a U-Net for maps, a residual network for whole pictures. Batch norm folds away at export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional


def _conv(inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    )


def _twice(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(_conv(inputs, outputs), nn.ReLU(inplace=True), _conv(outputs, outputs), nn.ReLU(inplace=True))


class UNet(nn.Module):  # type: ignore[misc]
    """Maps (N, outputs, H, W) from (N, inputs, H, W); H and W are multiples of 2**depth (`multiple`).

    Ronneberger et al., MICCAI 2015, with nearest up-sampling. Widths double per level up to `widest`. `heads` splits
    the outputs into several tensors of these numbers of channels.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        base: int = 12,
        depth: int = 3,
        widest: int = 96,
        heads: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.multiple = 2**depth
        widths = [min(base * 2**level, widest) for level in range(depth + 1)]
        self.down = nn.ModuleList(_twice(a, b) for a, b in zip([inputs, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(_twice(widths[k + 1] + widths[k], widths[k]) for k in reversed(range(depth)))
        self.head = nn.Conv2d(widths[0], outputs, 1)
        self.heads = tuple(heads)

    def forward(self, x: Any) -> Any:
        kept = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            kept.append(x)
        x = kept.pop()
        for block in self.up:
            x = block(torch.cat([functional.interpolate(x, scale_factor=2.0, mode="nearest"), kept.pop()], 1))
        x = self.head(x)
        return torch.split(x, self.heads, 1) if self.heads else x


class _Residual(nn.Module):  # type: ignore[misc]
    """Two convolutions beside a short cut, He et al., CVPR 2016."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.long = nn.Sequential(_conv(inputs, outputs, stride=stride), nn.ReLU(inplace=True), _conv(outputs, outputs))
        same = inputs == outputs and stride == 1
        self.short = nn.Identity() if same else _conv(inputs, outputs, stride=stride, kernel=1)

    def forward(self, x: Any) -> Any:
        return functional.relu(self.long(x) + self.short(x))


class ResidualNet(nn.Module):  # type: ignore[misc]
    """Outputs (N, outputs) from pictures (N, inputs, H, W) of any size: strided stages, the mean, one linear layer."""

    def __init__(
        self, inputs: int, outputs: int, *, base: int = 16, stages: int = 4, widest: int = 128, dropout: float = 0.2
    ) -> None:
        super().__init__()
        widths = [min(base * 2**stage, widest) for stage in range(stages)]
        self.stem = nn.Sequential(_conv(inputs, base, stride=2), nn.ReLU(inplace=True))
        self.stages = nn.Sequential(*(_Residual(a, b, 2) for a, b in zip([base, *widths[:-1]], widths, strict=True)))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(widths[-1], outputs))

    def forward(self, x: Any) -> Any:
        return self.head(self.stages(self.stem(x)).mean((2, 3)))


def parameters(module: Any) -> int:
    """How many numbers were trained."""
    return sum(parameter.numel() for parameter in module.parameters())
