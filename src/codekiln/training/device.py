"""The device, and where bfloat16 helps: matrix products; the weights stay float32."""

from __future__ import annotations

import torch

from codekiln.errors import UserError

SPEEDUP_WANTED = 1.1  # below this the lost digits are not worth it


def pick_device(name: str) -> torch.device:
    """`auto`, `cpu` or `cuda` to a device; `auto` is the GPU if there is one.

    Raises:
        UserError: a GPU is asked for, and torch finds none.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "training.device",
            got="cuda, but torch finds no GPU here",
            wanted="a GPU, its driver, and a torch built for it",
            remedy='set training.device to "auto" or "cpu"; `codekiln doctor` says what is there',
        )
    return torch.device(name)


def candidates(wanted: str, device: torch.device) -> list[str]:
    """The precisions that the setting `dtype` leaves open here, the safest first.

    With `auto` a GPU that has bfloat16 uses it. A CPU that has instructions for it (AVX512_BF16,
    AMX) leaves both open: whether they win depends on the model's size, so a trial decides.
    """
    if wanted != "auto":
        return [wanted]
    if device.type == "cuda":
        return ["bfloat16" if torch.cuda.is_bf16_supported() else "float32"]
    features = torch.cpu.get_capabilities()
    has_bfloat16 = any("bf16" in name and present for name, present in features.items())
    return ["float32", "bfloat16"] if has_bfloat16 else ["float32"]


def fastest(seconds: dict[str, float]) -> str:
    """The precision to use, given the seconds that a step took in each."""
    if len(seconds) == 1:
        return next(iter(seconds))
    gain = seconds["float32"] / seconds["bfloat16"]
    return "bfloat16" if gain >= SPEEDUP_WANTED else "float32"
