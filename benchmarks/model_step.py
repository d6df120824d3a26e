"""A training step against transformers' LlamaForCausalLM: tokens/s, and the peak of its memory.

Same configuration, first weights, optimiser, threads and dtype; both run in turn in one process.
The peak is that of a fresh process each: what a step adds to the model, its gradients and the
optimiser's state.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.rows import Row, paired

# name, overrides of the preset, vocabulary, sequence, batch, rounds
SHAPES: dict[str, tuple[str, int, int, int, int]] = {
    "3.4M": ("tiny-3m", 4096, 512, 8, 5),
    "31M": ("small-30m", 4096, 512, 4, 3),
}
PEER = "transformers"


def run() -> list[Row]:
    try:
        import transformers  # noqa: F401
    except ImportError:
        note = "peer not installed: pip install 'codekiln[bench]'"
        return [Row(what="training step", ours=0.0, unit="tokens/s", note=note)]
    return [row for shape in SHAPES for bf16 in (False, True) for row in _rows(shape, bf16)]


def _rows(shape: str, bf16: bool) -> list[Row]:
    import torch

    _, _, length, batch, rounds = SHAPES[shape]
    torch.manual_seed(0)
    seconds = paired(step("ours", shape, bf16), step(PEER, shape, bf16), rounds=rounds)
    kind = "bf16 autocast" if bf16 else "fp32"
    what = f"training step {shape}, {kind}"
    note = f"batch {batch} x {length}, {torch.get_num_threads()} threads"
    peaks = [_peak_megabytes(side, shape, bf16) for side in ("ours", PEER)]
    return [
        Row(
            what=what,
            ours=batch * length / seconds[0],
            unit="tokens/s",
            peer=batch * length / seconds[1],
            peer_name=PEER,
            target=">= 1.0x",
            note=note,
        ),
        Row(
            what=f"memory a step adds, {shape}, {kind}",
            ours=peaks[0],
            unit="MB",
            peer=peaks[1],
            peer_name=PEER,
            target="<= 1.0x",
            note="less is better",
        ),
    ]


def step(side: str, shape: str, bf16: bool) -> Callable[[], float]:
    """A function that makes one step: forward, backward, AdamW; it gives the loss."""
    import torch

    preset, vocabulary, length, batch, _ = SHAPES[shape]
    model = _model(side, preset, vocabulary)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, vocabulary, (batch, length + 1), generator=generator)
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def one() -> float:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            if side == "ours":
                loss = model.loss(inputs, targets)
            else:
                loss = model(input_ids=inputs, shift_labels=targets, labels=targets).loss
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        return float(loss.detach())

    return one


def _model(side: str, preset: str, vocabulary: int) -> Any:
    import torch

    from codekiln.models.dense import LlamaForCausalLM
    from codekiln.models.settings import ModelSettings

    config = ModelSettings(preset=preset).config(vocab_size=vocabulary)
    ours = LlamaForCausalLM(config)
    ours.init_weights(torch.Generator().manual_seed(0))
    if side == "ours":
        return ours
    import transformers

    keys = {k: v for k, v in config.to_hf().items() if k not in ("architectures", "model_type")}
    peer = transformers.LlamaForCausalLM(transformers.LlamaConfig(**keys))
    peer.load_state_dict(ours.state_dict())
    peer.config.use_cache = False
    return peer.train()


def _peak_megabytes(side: str, shape: str, bf16: bool) -> float:
    code = f"from benchmarks.model_step import peak; peak({side!r}, {shape!r}, {bf16})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def peak(side: str, shape: str, bf16: bool) -> None:
    """Print the megabytes by which two steps raise the resident peak."""
    one = step(side, shape, bf16)
    # the peak of getrusage outlives exec and would be the parent's; this one can be reset
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    before = _resident_megabytes("VmRSS")
    one()
    one()
    print(json.dumps(_resident_megabytes("VmHWM") - before))


def _resident_megabytes(key: str) -> float:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(key))
