"""What a rank's memory holds in the middle of a training step, worked out from shapes.

Weights, gradients and averages are float32, and lie divided over data x context x tensor ranks
(`parallel.world`), once for each pipeline stage. The rest is what one micro-batch leaves for its
way back, and what passes. The peak is where the loss is taken (all activations, the logits of a
chunk), where the way back begins (all activations, what the last layer makes) or where it ends (all
gradients), whichever is most.

Kernels' workspaces, the allocator's gaps, and PyTorch itself (about 0.5 to 1 GB of a GPU) come on
top.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from codekiln.models.config import ModelConfig
from codekiln.models.dense_config import LlamaConfig
from codekiln.models.loss import CHUNK_TOKENS
from codekiln.models.moe_config import DeepseekV2Config
from codekiln.parallel.checks import Degrees
from codekiln.parallel.sharding import stage_layers

FLOAT, NARROW = 4, 2  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a run does, as far as memory is concerned.

    Args:
        batch_size: sequences of a micro-batch, of all ranks.
        micro_batches: in a step.
        averages: numbers that the optimiser keeps of each parameter: 2 for AdamW.
    """

    sequence_length: int
    batch_size: int
    micro_batches: int = 1
    dtype: str = "float32"
    checkpointing: bool = False
    averages: float = 2.0
    device: str = "cuda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes on the rank that has most; `total` is its peak, not the sum of all."""

    weights: float
    gradients: float
    averages: float
    gathered: float
    activations: float
    loss: float
    total: float

    def to_json(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)


def memory(config: ModelConfig, degrees: Degrees, work: Workload) -> Memory:
    """The peak of a training step on the rank that has most."""
    stages = range(degrees.pipeline)
    return max((_of_stage(config, degrees, work, stage) for stage in stages), key=lambda m: m.total)


def _of_stage(config: ModelConfig, degrees: Degrees, work: Workload, stage: int) -> Memory:
    layers = stage_layers(config.num_hidden_layers, degrees.pipeline)[stage]
    first, last = stage == 0, stage == degrees.pipeline - 1
    table = config.vocab_size * config.hidden_size
    tables = table * (1 if config.tie_word_embeddings else int(first) + int(last))
    inside = sum(_layer_parameters(config, layer) for layer in layers)
    shards = degrees.data * degrees.context * degrees.tensor
    here = (inside + tables) / shards
    weights, averages = FLOAT * here, FLOAT * here * work.averages
    gathered = _gathered(config, degrees, work, layers, tables)
    kept, passing = _activations(config, degrees, work, layers)
    in_flight = min(degrees.pipeline - stage, work.micro_batches)
    activations = kept * in_flight
    loss = _loss(config, degrees, work) if last else 0.0
    # a step's gradients are there from its first micro-batch on
    gradients = FLOAT * here
    earlier = gradients if work.micro_batches > 1 else 0.0
    at_loss = earlier + activations + loss
    back_begins = max(earlier, FLOAT * tables / shards) + activations + passing
    back_ends = gradients + activations / len(layers) + passing
    peak = gathered + max(at_loss, back_begins, back_ends)
    return Memory(
        weights=weights,
        gradients=gradients,
        averages=averages,
        gathered=gathered,
        activations=activations,
        loss=loss,
        total=weights + averages + peak,
    )


def _layer_parameters(config: ModelConfig, layer: int) -> float:
    """Of one layer; layers with experts are not like those without."""
    if not isinstance(config, DeepseekV2Config):
        return config.layer_parameters() / config.num_hidden_layers
    sparse = 3 * config.hidden_size * config.moe_intermediate_size
    sparse *= config.n_routed_experts + config.n_shared_experts
    dense = 3 * config.hidden_size * config.intermediate_size
    number = sum(config.is_sparse(i) for i in range(config.num_hidden_layers))
    router = config.hidden_size * config.n_routed_experts
    feed_forward = number * (sparse + router) + (config.num_hidden_layers - number) * dense
    attention = (config.layer_parameters() - feed_forward) / config.num_hidden_layers
    return attention + (sparse + router if config.is_sparse(layer) else dense)


def _gathered(
    config: ModelConfig, degrees: Degrees, work: Workload, layers: range, tables: int
) -> float:
    """What FSDP2 has in one piece: two layers (one comes while one computes), the tables, and
    gradients of one layer. Alone and in bf16: the copies that products are made with."""
    narrow = work.dtype == "bfloat16"
    if degrees.rows * degrees.context * degrees.tensor == 1:
        inside = sum(_layer_parameters(config, layer) for layer in layers)
        return NARROW * inside if narrow else 0.0
    largest = max(_undivided(config, degrees, layer) for layer in layers)
    each = NARROW if narrow else FLOAT
    return largest * (2 * each + each + FLOAT) + tables * FLOAT


def _undivided(config: ModelConfig, degrees: Degrees, layer: int) -> float:
    """Parameters of a layer on one rank once FSDP2 has gathered them."""
    whole = _layer_parameters(config, layer)
    if isinstance(config, DeepseekV2Config) and config.is_sparse(layer):
        experts = 3 * config.hidden_size * config.moe_intermediate_size * config.n_routed_experts
        return (whole - experts) + experts / degrees.expert
    return whole / degrees.tensor


def _activations(
    config: ModelConfig, degrees: Degrees, work: Workload, layers: range
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
    return (
        (2 * each + FLOAT) * tokens * config.hidden_size
        + logits
        + FLOAT * (config.vocab_size * config.hidden_size)
    )
