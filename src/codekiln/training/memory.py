"""What a rank's memory holds in the middle of a training step, worked out from shapes.

Weights, gradients and averages are float32, and lie divided over data x context x tensor ranks
(`parallel.world`), once for each pipeline stage. The rest is what one micro-batch leaves for its
way back, and what passes. The peak is where the loss is taken (all activations, the logits of a
chunk), where the way back begins (all activations, what the last layer makes), where it ends (all
gradients), or in the optimiser's step, whichever is most.

Kernels' workspaces, the allocator's gaps, and PyTorch itself (about 0.5 to 1 GB of a GPU) come on
top.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from codekiln.models.config import ModelConfig
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.lora_settings import LoraSettings
from codekiln.models.loss import CHUNK_TOKENS
from codekiln.models.moe_config import DeepseekV2Config
from codekiln.parallel.checks import Degrees
from codekiln.parallel.sharding import stage_layers
from codekiln.training.held import Held, Parts, parts

FLOAT, NARROW = 4, 2  # bytes
TURNED = 4.0  # times a matrix that Muon makes orthogonal


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a run does, as far as memory is concerned.

    Args:
        batch_size: sequences of a micro-batch, of all ranks.
        micro_batches: in a step.
        chunks: groups of layers that each pipeline stage has: over 1 where it is interleaved.
        optimizer: its name in `[optimizer]`.
        lora: what learns in place of matrices.
    """

    sequence_length: int
    batch_size: int
    micro_batches: int = 1
    dtype: str = "float32"
    checkpointing: bool = False
    chunks: int = 1
    optimizer: str = "adamw"
    lora: LoraSettings = field(default_factory=LoraSettings)
    device: str = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on the rank that has most; `total` is its peak, not the sum of all.

    Args:
        weights, gradients, averages: float32, this rank's share.
        gathered: copies to compute with: bf16's, FSDP2's layers in one piece.
        activations: of all layers and micro-batches that are on their way.
        loss: logits of a chunk, and what the head's gradient takes.
        step: what passes in the optimiser's step.
    """

    weights: float
    gradients: float
    averages: float
    gathered: float
    activations: float
    loss: float
    step: float
    total: float

    def to_json(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


def memory(config: ModelConfig, degrees: Degrees, work: Workload) -> Memory:
    """The peak of a training step on the rank that has most."""
    held = parts(config, work.lora, work.optimizer)
    ranks = range(degrees.pipeline)
    return max((_of_rank(config, degrees, work, held, r) for r in ranks), key=lambda m: m.total)


def _of_rank(
    config: ModelConfig, degrees: Degrees, work: Workload, held: Parts, rank: int
) -> Memory:
    """Of one rank of a pipeline."""
    first, last = rank == 0, rank == degrees.pipeline - 1
    layers = _layers(config, degrees, work, rank)
    tables = (held.embeddings if first else Held()) + (held.head if last else Held())
    here = sum((held.layers[layer] for layer in layers), tables)
    shards = degrees.data * degrees.context * degrees.tensor
    weights, gradients, averages = (
        FLOAT * numbers / shards for numbers in (here.weights, here.learning, here.kept)
    )
    forward, backward, at_end = _gathered(degrees, work, [held.layers[i] for i in layers], tables)
    of_one, passing = _activations(config, degrees, work, layers)
    activations = of_one * _in_flight(degrees, work, rank)
    activations += _received(config, degrees, work, rank)
    loss = _loss(config, degrees, work) if last else 0.0
    step = _stepping(degrees, here)
    # a step's gradients are there from its first micro-batch on
    earlier = gradients if work.micro_batches > 1 else 0.0
    of_tables = FLOAT * tables.learning / shards
    peak = max(
        forward + earlier + activations + loss,
        backward + max(earlier, of_tables) + activations + passing,
        backward + gradients + activations / len(layers) + passing,
        at_end + gradients + _tables_end(config, degrees, work, held, tables),
        gradients + step,
    )
    return Memory(
        weights=weights,
        gradients=gradients,
        averages=averages,
        gathered=backward,
        activations=activations,
        loss=loss,
        step=step,
        total=weights + averages + peak,
    )


def _layers(config: ModelConfig, degrees: Degrees, work: Workload, rank: int) -> list[int]:
    """Those of one rank of a pipeline."""
    stages = stage_layers(config.num_hidden_layers, degrees.pipeline * work.chunks)
    return [layer for stage in stages[rank :: degrees.pipeline] for layer in stage]


def _in_flight(degrees: Degrees, work: Workload, rank: int) -> float:
    """Micro-batches that a rank of a pipeline has on their way at most, in all of its layers.

    Source: Narayanan et al. 2021 §2.2; interleaved, it begins with more (PyTorch's schedule).
    """
    left = degrees.pipeline - rank
    if work.chunks == 1:
        return min(left, work.micro_batches)
    begun = (work.chunks - 1) * degrees.pipeline + 2 * (left - 1) + 1
    return min(begun / work.chunks, work.micro_batches)


def _gathered(
    degrees: Degrees, work: Workload, layers: list[Held], tables: Held
) -> tuple[float, float, float]:
    """What FSDP2 has in one piece at the loss, on the way back and at its end: the tables; a layer;
    on the way back another that comes, and gradients of one. Alone and in bf16: the copies that
    products are made with."""
    each = NARROW if work.dtype == "bfloat16" else FLOAT
    if not _sharded(degrees):
        copies = NARROW * sum(layer.weights for layer in layers) if each == NARROW else 0.0
        return copies, copies, copies
    held = FLOAT * tables.weights
    largest = max(layers, key=lambda layer: _undivided(degrees, layer))
    whole, learning = _undivided(degrees, largest), largest.learning / largest.weights
    return held + each * whole, held + (2 * each + (each + FLOAT) * learning) * whole, held


def _sharded(degrees: Degrees) -> bool:
    return degrees.rows * degrees.context * degrees.tensor > 1


def _undivided(degrees: Degrees, layer: Held) -> float:
    """Numbers of a layer on one rank once FSDP2 has gathered them."""
    if layer.experts:
        return layer.weights - layer.experts + layer.experts / degrees.expert
    return layer.weights / degrees.tensor


def _tables_end(
    config: ModelConfig, degrees: Degrees, work: Workload, held: Parts, tables: Held
) -> float:
    """Further copies of the tables' gradients when the way back ends at the embeddings.

    Theirs is as large as the table. Tied, the head's waits for it, and both are added up to a
    third. Sharded, all of it is there before it is divided, and once more to be sent.
    """
    embeddings, several = FLOAT * held.embeddings.learning, work.micro_batches > 1
    if config.tie_word_embeddings:
        return embeddings * (3 if several or _sharded(degrees) else 2)
    if _sharded(degrees):
        # of a single micro-batch the rank's share of them is not there yet
        shards = degrees.data * degrees.context * degrees.tensor
        return FLOAT * tables.learning * (2 if several else 2 - 1 / shards)
    return embeddings if several and degrees.pipeline == 1 else 0.0


def _received(config: ModelConfig, degrees: Degrees, work: Workload, rank: int) -> float:
    """Room that PyTorch's stages keep for what each micro-batch's neighbours send, both ways."""
    ends = (rank == 0) + (rank == degrees.pipeline - 1)
    tokens = work.batch_size / degrees.rows * work.sequence_length / degrees.context
    stream = FLOAT * config.hidden_size * tokens / degrees.tensor
    return stream * work.micro_batches * (2 * work.chunks - ends)


def _stepping(degrees: Degrees, here: Held) -> float:
    """Muon has its largest matrix in one piece, and as often again as it takes to turn it; of
    experts those that are this rank's, or that it gathers among their `expert` ranks."""
    shards = degrees.data * degrees.context * degrees.tensor
    experts = here.largest_experts / (degrees.expert if degrees.expert > 1 else shards)
    return TURNED * FLOAT * max(here.largest, experts)


def _activations(
    config: ModelConfig, degrees: Degrees, work: Workload, layers: list[int]
) -> tuple[float, float]:
    """Bytes that a micro-batch keeps for the way back, and that pass while one layer is on it."""
    tokens = work.batch_size / degrees.rows * work.sequence_length / degrees.context
    stream = config.hidden_size * tokens / degrees.tensor * FLOAT
    of_layers = [_of_layer(config, degrees, work, layer) * tokens for layer in layers]
    passing = max(_passing(config, degrees, work, layer) * tokens for layer in layers)
    if work.checkpointing:
        return stream * len(layers), max(of_layers) - stream + passing
    return sum(of_layers), passing


def _of_layer(config: ModelConfig, degrees: Degrees, work: Workload, layer: int) -> float:
    """Bytes a token that one layer keeps."""
    each = NARROW if work.dtype == "bfloat16" else FLOAT
    hidden, tensor = config.hidden_size, degrees.tensor
    streams = (2 * hidden * FLOAT + 2 * hidden * each) / tensor  # before and behind two norms
    attention = _attention_numbers(config) / tensor * each
    if each == NARROW:  # put in order for the product behind it
        attention += config.num_attention_heads * _value_width(config) / tensor * each
    if isinstance(config, DeepseekV2Config) and config.is_sparse(layer):
        routed = config.num_experts_per_tok * 2 * config.moe_intermediate_size
        shared = config.n_shared_experts * 3 * config.moe_intermediate_size
        scores = 3 * config.n_routed_experts * FLOAT
        sent = config.num_experts_per_tok * 2 * hidden * each if degrees.expert > 1 else 0
        return streams + attention + ((routed + shared) * each + scores + sent) / tensor
    return streams + attention + 3 * config.intermediate_size / tensor * each


def _attention_numbers(config: ModelConfig) -> float:
    """Numbers a token that attention keeps, in all heads."""
    heads = config.num_attention_heads
    if isinstance(config, DeepseekV2Config):
        padded = config.qk_head_dim - config.v_head_dim  # values are padded to a key's width
        latents = 2 * config.kv_lora_rank + config.qk_rope_head_dim
        queries = 2 * (config.q_lora_rank or 0)
        return latents + queries + heads * (4 * config.qk_head_dim - padded + 1)
    assert isinstance(config, LlamaConfig)
    return (2 * heads + 2 * config.num_key_value_heads) * config.head_dim + heads


def _value_width(config: ModelConfig) -> int:
    if isinstance(config, DeepseekV2Config):
        return config.v_head_dim
    assert isinstance(config, LlamaConfig)
    return config.head_dim


def _passing(config: ModelConfig, degrees: Degrees, work: Workload, layer: int) -> float:
    """Bytes a token that are made and dropped while a layer is on the way back."""
    each = NARROW if work.dtype == "bfloat16" else FLOAT
    width = config.intermediate_size
    if isinstance(config, DeepseekV2Config) and config.is_sparse(layer):
        width = config.n_shared_experts * config.moe_intermediate_size
    return 3 * width * each / degrees.tensor + 2 * config.hidden_size * FLOAT / degrees.tensor


def _loss(config: ModelConfig, degrees: Degrees, work: Workload) -> float:
    """The last norm's output and its gradient, a chunk's logits twice, the head's gradient."""
    tokens = work.batch_size / degrees.rows * work.sequence_length
    tokens /= degrees.context * degrees.tensor
    chunk = min(tokens, CHUNK_TOKENS.get(work.device, 4096))
    each = NARROW if work.dtype == "bfloat16" else FLOAT
    logits = chunk * config.vocab_size * (each + FLOAT)
    learns = work.lora.embeddings or not work.lora.rank
    head = FLOAT * config.vocab_size * config.hidden_size if learns else 0
    return (2 * each + FLOAT) * tokens * config.hidden_size + logits + head
