"""Where networks are computed, and how fast."""

from __future__ import annotations

import torch

from truthtag.errors import ConfigError
from truthtag.registry import did_you_mean

__all__ = ["choose_device", "uses_bfloat16"]

DEVICES = ("auto", "cpu", "cuda")


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
