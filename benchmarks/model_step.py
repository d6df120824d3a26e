"""Forward and backward against transformers' models: tokens/s, and the peak of a step's memory.

Same configuration, first weights, threads and dtype; both run in turn in one process. On a CPU
small shapes, dense and with experts; where there is a GPU, larger ones in bf16 at 4K, with and
without torch.compile. The peak is that of a fresh process each: what a training step (AdamW
included) adds to the model, its gradients and the optimiser's state.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, paired

PEER = "transformers"
CLASSES = {
    "LlamaForCausalLM": ("LlamaConfig", "LlamaForCausalLM"),
    "DeepseekV2ForCausalLM": ("DeepseekV2Config", "DeepseekV2ForCausalLM"),
}


@dataclass(frozen=True, slots=True)
class Shape:
    """A preset with changes, and how much of it goes through at once."""

    preset: str
    vocabulary: int
    length: int
    batch: int
    rounds: int
    target: str
    changes: dict[str, Any] = field(default_factory=dict)


CPU = {
    "3.4M": Shape("tiny-3m", 4096, 512, 8, 5, ">= 1.1x"),
    "31M": Shape("small-30m", 4096, 512, 4, 3, ">= 1.1x"),
    "experts 8M": Shape("tiny-moe-8m", 4096, 512, 8, 5, ">= 2x"),
    "experts 58M": Shape("small-moe-60m", 4096, 512, 4, 3, ">= 2x"),
}
GPU = {
    "1.3B": Shape("deepseek-coder-1.3b", 32256, 4096, 2, 5, ">= 1.2x"),
    "V2-Lite, 6 layers": Shape(
        "deepseek-coder-v2-lite", 32256, 4096, 2, 5, ">= 2x", {"num_hidden_layers": 6}
    ),
}
SHAPES = CPU | GPU


def run() -> list[Row]:
    try:
        import torch
        import transformers  # noqa: F401
    except ImportError:
        note = "peer not installed: pip install 'codekiln[bench]'"
        return [Row(what="forward and backward", ours=0.0, unit="tokens/s", note=note)]
    rows = []
    for name in CPU:
        for bf16 in (False, True):
            rows += [_speed(name, "cpu", bf16), _memory(name, bf16)]
    if torch.cuda.is_available():
        rows += [_speed(name, "cuda", True, compiled) for name in GPU for compiled in (False, True)]
    return rows


def _speed(name: str, device: str, bf16: bool, compiled: bool = False) -> Row:
    import torch

    torch.manual_seed(0)
    shape = SHAPES[name]
    ours, peer = (_passes(side, shape, device, bf16, compiled) for side in ("ours", PEER))
    seconds = paired(ours, peer, rounds=shape.rounds)
    tokens = shape.batch * shape.length
    note = f"batch {shape.batch} x {shape.length}"
    note += f", {torch.get_num_threads()} threads" if device == "cpu" else ", one GPU"
    return Row(
        what=f"forward and backward, {name}, {_kind(bf16)}{', compiled' if compiled else ''}",
        ours=tokens / seconds[0],
        unit="tokens/s",
        peer=tokens / seconds[1],
        peer_name=PEER,
        target=shape.target,
        note=note,
    )


def _memory(name: str, bf16: bool) -> Row:
    peaks = [_peak_megabytes(side, name, bf16) for side in ("ours", PEER)]
    return Row(
        what=f"memory a step adds, {name}, {_kind(bf16)}",
        ours=peaks[0],
        unit="MB",
        peer=peaks[1],
        peer_name=PEER,
        target="<= 1.0x",
        note="less is better",
    )


def _kind(bf16: bool) -> str:
    return "bf16 autocast" if bf16 else "fp32"


def _passes(
    side: str, shape: Shape, device: str, bf16: bool, compiled: bool
) -> Callable[[], float]:
    """A function that runs forward and backward once."""
    import torch

    model = _model(side, shape).to(device)
    inputs, targets = _data(shape, device)
    compute = _loss_of(side, model)
    if compiled:
        compute = torch.compile(compute)

    def one() -> float:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bf16):
            loss = compute(inputs, targets)
        loss.backward()
        model.zero_grad(set_to_none=True)
        return float(loss.detach())  # waits for a GPU

    return one


def _loss_of(side: str, model: Any) -> Callable[[Any, Any], Any]:
    if side == "ours":
        loss: Callable[[Any, Any], Any] = model.loss
        return loss
    return lambda inputs, targets: (
        model(input_ids=inputs, shift_labels=targets, labels=targets).loss
    )


def _data(shape: Shape, device: str) -> tuple[Any, Any]:
    import torch

    generator = torch.Generator().manual_seed(0)
    size = (shape.batch, shape.length + 1)
    tokens = torch.randint(0, shape.vocabulary, size, generator=generator).to(device)
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def _model(side: str, shape: Shape) -> Any:
    import torch

    from codekiln.models.causal import build_model
    from codekiln.models.settings import ModelSettings

    settings = ModelSettings.model_validate({"preset": shape.preset, **shape.changes})
    config = settings.config(vocab_size=shape.vocabulary)
    ours = build_model(config, torch.Generator().manual_seed(0)).train()
    if side == "ours":
        return ours
    import transformers

    keys = {k: v for k, v in config.to_hf().items() if k not in ("architectures", "model_type")}
    kind, architecture = (getattr(transformers, n) for n in CLASSES[config.ARCHITECTURE])
    peer = architecture(kind(**keys))
    peer.load_state_dict(ours.state_dict())
    peer.config.use_cache = False
    return peer.train()


def _peak_megabytes(side: str, name: str, bf16: bool) -> float:
    code = f"from benchmarks.model_step import peak; peak({side!r}, {name!r}, {bf16})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def peak(side: str, name: str, bf16: bool) -> None:
    """Print the megabytes by which two steps raise the resident peak."""
    import torch

    shape = SHAPES[name]
    model = _model(side, shape)
    inputs, targets = _data(shape, "cpu")
    compute = _loss_of(side, model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    # the peak of getrusage outlives exec and would be the parent's; this one can be reset
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _resident_megabytes("VmRSS")
    for _ in range(2):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = compute(inputs, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    print(json.dumps(_resident_megabytes("VmHWM") - before))


def _resident_megabytes(key: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(key))
