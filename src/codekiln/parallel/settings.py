"""`[parallel]` of a recipe: how many ranks share what. No torch here.

Source: DeepSeek-Coder §3.5 (tensor, ZeRO data and PipeDream's 1F1B pipeline parallelism);
DeepSeek-V2 §3.1.3 (experts over ranks). How many of each: open in the papers.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from codekiln.recipe import Settings

Degree = Annotated[int, Field(ge=1)]


class ParallelSettings(Settings):
    """`[parallel]`: the product of all degrees but `expert` is the number of ranks.

    The batch does not depend on them: `training.batch_size` sequences are divided among
    `replicate` x `data` ranks, and each sequence among `context` x `tensor`.
    """

    data: int = Field(
        0,
        ge=0,
        description="ranks with other sequences, over which weights, gradients and averages are "
        "sharded (FSDP2); 0: all that the other degrees leave",
    )
    replicate: Degree = Field(1, description="copies of all that (HSDP)")
    tensor: Degree = Field(
        1, description="ranks that share each matrix of a layer, and the sequence between them"
    )
    context: Degree = Field(1, description="ranks that share each sequence")
    pipeline: Degree = Field(1, description="stages of layers")
    expert: Degree = Field(
        1, description="ranks that share the routed experts: a divisor of data x context x tensor"
    )
    pipeline_schedule: Literal["1f1b", "interleaved"] = Field(
        "1f1b", description="of the micro-batches of a step (training.gradient_accumulation)"
    )
    pipeline_chunks: int = Field(
        2, ge=2, description="interleaved: groups of layers that each stage has"
    )
    activation_checkpointing: Literal["none", "layer"] = Field(
        "none", description="layer: keep each layer's input alone, and compute the rest twice"
    )
    timeout_minutes: float = Field(
        10.0, gt=0, allow_inf_nan=False, description="how long a rank waits for the others"
    )
