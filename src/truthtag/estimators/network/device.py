"""Where networks are computed, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from truthtag.errors import ConfigError
from truthtag.registry import did_you_mean

__all__ = ["choose_device", "events_at_once", "matrix_units", "uses_bfloat16"]

DEVICES = ("auto", "cpu", "cuda")

EVENTS_ON_CPU = 1_000
"""Events that are evaluated at once on a CPU: their layers stay in its cache."""

EVENTS_ON_GPU = 10_000
"""The same on a GPU: fewer would leave most of it idle."""


def choose_device(name: str) -> torch.device:
    """Return the device that the config names; ``auto`` is a GPU where there is one.

    Raises:
        ConfigError: The name is unknown, or there is no GPU.
    """
    if name not in DEVICES:
        hint = " A GPU is called 'cuda'." if str(name).lower() == "gpu" else ""
        near = did_you_mean(name, list(DEVICES)) if not hint else ""
        msg = f"device is {name!r}; allowed are {', '.join(DEVICES)}{near}.{hint}"
        raise ConfigError(msg)
    if name == "cuda" and not torch.cuda.is_available():
        msg = (
            "device is 'cuda', but this machine shows no GPU to torch. "
            "Use 'auto' or 'cpu', or run on a machine with one."
        )
        raise ConfigError(msg)
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def uses_bfloat16(precision: str, device: torch.device | str = "cpu") -> bool:
    """Return whether matrix products of training run in bfloat16 on a device.

    Args:
        precision: ``float32``, ``bfloat16``, or ``auto``: bfloat16 where the processor has
            instructions for it.
        device: The device.
    """
    if precision != "auto":
        return precision == "bfloat16"
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def events_at_once(device: torch.device | str) -> int:
    """Return how many events are evaluated at once, where no gradients are wanted."""
    return EVENTS_ON_CPU if torch.device(device).type == "cpu" else EVENTS_ON_GPU


@contextmanager
def matrix_units(device: torch.device) -> Iterator[None]:
    """Let a GPU round what it multiplies to 10 bits, as its fastest products in float32 do.

    That is enough for the mean loss over many events. A CPU computes as ever.
    """
    if device.type == "cpu":
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
