"""GPUs that plans are made for: what a data sheet promises of dense bf16 products, and memory."""

from __future__ import annotations

from dataclasses import dataclass

from codekiln.errors import UserError
from codekiln.registry import suggestion


@dataclass(frozen=True, slots=True, kw_only=True)
class GPU:
    """One accelerator: `peak_flops` of dense bf16 a second, `memory_bytes` as sold."""

    name: str
    peak_flops: float
    memory_bytes: float


_SHEETS = {
    # NVIDIA's data sheets, without sparsity
    "a100-40": (312e12, 40e9),
    "a100": (312e12, 80e9),
    "h100": (989e12, 80e9),
    "h200": (989e12, 141e9),
    "b200": (2250e12, 180e9),
    "l40s": (362e12, 48e9),
    "rtx-3090": (71e12, 24e9),
    "rtx-4090": (165e12, 24e9),
    # AMD's
    "mi250x": (383e12, 128e9),
    "mi300x": (1307e12, 192e9),
}


def recognised(device_name: str) -> GPU | None:
    """The GPU that a driver calls so, such as "NVIDIA H100 80GB HBM3"; None: not one of these.

    Of a name that stands for several cards (H100 NVL, H100 PCIe) the data sheet is that of the
    SXM module, whose peak is the largest.
    """
    words = device_name.lower().replace("-", " ").split()
    for key in sorted(_SHEETS, key=len, reverse=True):
        wanted = key.split("-")
        if all(any(word == part or word == f"{part}gb" for word in words) for part in wanted):
            return gpu(key)
    return None


def gpu(name: str) -> GPU:
    """A GPU by its name.

    Raises:
        UserError: an unknown one.
    """
    key = name.lower()
    if key not in _SHEETS:
        raise UserError(
            f"GPU {name!r}",
            got="no such GPU here",
            wanted="one of " + ", ".join(_SHEETS),
            remedy=suggestion(key, _SHEETS),
        )
    peak, memory = _SHEETS[key]
    return GPU(name=key, peak_flops=peak, memory_bytes=memory)
