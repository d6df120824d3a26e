"""A decoder with a head over the vocabulary: what all architectures have in common.

An architecture is a subclass that says what its layers are (`layer`) and, where a checkpoint's
tensors are not its parameters one for one, which parts of them they are (`parts`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from codekiln import registry
from codekiln.models.attention import Visibility, visibility
from codekiln.models.config import ModelConfig
from codekiln.models.layers import Cache, DecoderLayer, Embedding, Linear, RMSNorm, Rotation
from codekiln.models.loss import cross_entropy, nats_of_targets
from codekiln.models.precision import attention_dtype
from codekiln.models.rope import RotaryTable


@dataclass(frozen=True, slots=True)
class Part:
    """Where a checkpoint's tensor lies: rows `start` to `stop` of `parameter`, or of its `item`."""

    parameter: str
    item: int | None = None
    start: int = 0
    stop: int | None = None

    def of(self, parameter: Tensor) -> Tensor:
        """The tensor, as a view of the parameter."""
        whole = parameter if self.item is None else parameter[self.item]
        return whole[self.start : self.stop]


class Decoder(nn.Module):
    """Embeddings, layers and the last norm (`model.` in a checkpoint's names).

    Parts that lie on another rank are None.

    Attributes:
        checkpointing: keep only each layer's input for the way back, and compute the rest twice.
    """

    checkpointing = False

    def __init__(self, config: ModelConfig, layers: list[DecoderLayer]) -> None:
        super().__init__()
        self.embed_tokens = Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(layers)
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(
        self, entering: Tensor, rotation: Rotation, seen: Visibility, cache: Cache | None
    ) -> Tensor:
        """Tokens [batch, sequence] -> the stream before the last norm, [..., hidden_size].

        Without embeddings what enters is the stream that another rank has begun.
        """
        hidden = entering if self.embed_tokens is None else self.embed_tokens(entering)
        for layer in self.layers:
            if layer is None:
                continue
            if self.checkpointing and torch.is_grad_enabled():
                hidden = checkpoint(layer, hidden, rotation, seen, cache, use_reentrant=False)
            else:
                hidden = layer(hidden, rotation, seen, cache)
        return hidden


class CausalLM(nn.Module):
    """A language model; freshly initialised unless on the meta device.

    Args:
        config: its shape.
        generator: draws the first weights; None is torch's own.

    Attributes:
        z_loss: see `loss.cross_entropy`.
    """

    z_loss = 0.0

    def __init__(self, config: ModelConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        layers = [self.layer(config, i) for i in range(config.num_hidden_layers)]
        self.model = Decoder(config, layers)
        self.lm_head = Linear(config.hidden_size, config.vocab_size)
        self.rotary = RotaryTable(config)
        self.tie_weights()
        if not self.lm_head.weight.is_meta:
            self.init_weights(generator)

    @staticmethod
    def layer(config: ModelConfig, index: int) -> DecoderLayer:
        """Layer `index` of the architecture."""
        raise NotImplementedError

    def parts(self) -> dict[str, Part]:
        """A checkpoint's tensors, in the model's own order; tied weights stand once."""
        return {name: Part(name) for name, _ in self.named_parameters()}

    def tie_weights(self) -> None:
        """Make the head the embeddings, where the configuration says so."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator | None = None) -> None:
        """Normal weights with `initializer_range`; norms are ones.

        The same generator state gives the same weights. Open: the paper does not say how
        weights start.
        """
        first = first_weights(self.config, generator)
        for name, parameter in self.named_parameters():  # tied weights come once
            parameter.copy_(first(name, parameter.shape))

    def forward(
        self,
        tokens: Tensor,
        *,
        positions: Tensor | None = None,
        document_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        last_only: bool = False,
    ) -> Tensor:
        """Logits, fp32 or the model's dtype: [batch, sequence (1 if last_only), vocab_size].

        Args:
            tokens: int64 [batch, sequence].
            positions: int64 [batch, sequence]; default: counted on from the cache's length.
            document_ids: int64 [batch, sequence]; attention stays inside a run of equal ids.
            attention_mask: [batch, cache.length + sequence], zero for padding (on the left).
                Positions are then counted from each row's first token, unless given.
            cache: keys and values of earlier tokens; takes those of the new ones.
            last_only: logits of the last token alone, for decoding.
        """
        hidden = self._hidden(tokens, positions, document_ids, attention_mask, cache)
        hidden = self.model.norm(hidden[:, -1:] if last_only else hidden)
        logits: Tensor = self.lm_head(hidden)
        return logits

    def loss(
        self,
        tokens: Tensor,
        targets: Tensor,
        *,
        positions: Tensor | None = None,
        document_ids: Tensor | None = None,
    ) -> Tensor:
        """Mean cross-entropy in nats a token, fp32 scalar; targets of -100 don't count.

        A balance loss counts in the gradient and not in the value, so that losses of models
        with and without experts can be compared.

        Args:
            tokens: int64 [batch, sequence].
            targets: int64 [batch, sequence]: the token that follows each.
        """
        hidden = self._hidden(tokens, positions, document_ids, None, None)
        return self.loss_of(hidden, targets)

    def loss_of(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy given the stream before the last norm; see `loss`."""
        hidden = self.model.norm(hidden)
        dtype = hidden.dtype
        flat = hidden.flatten(0, 1), self.lm_head.weight, targets.flatten()
        return cross_entropy(*flat, dtype, self.z_loss)

    def nats_of(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Nats of each target, fp32 [batch, sequence], given the stream before the last norm."""
        hidden = self.model.norm(hidden)
        flat = hidden.flatten(0, 1), self.lm_head.weight, targets.flatten()
        return nats_of_targets(*flat, hidden.dtype).view(targets.shape)

    def _hidden(
        self,
        tokens: Tensor,
        positions: Tensor | None,
        document_ids: Tensor | None,
        attention_mask: Tensor | None,
        cache: Cache | None,
    ) -> Tensor:
        batch, count = tokens.shape
        past = cache.length if cache is not None else 0
        dtype = attention_dtype(self.lm_head.weight)
        seen = visibility(
            batch,
            count,
            past,
            device=tokens.device,
            dtype=dtype,
            document_ids=document_ids,
            attention_mask=attention_mask,
        )
        if positions is None and attention_mask is not None and seen.mask is not None:
            positions = (attention_mask.long().cumsum(1) - 1).clamp_(min=0)[:, past:]
        rotation = self.rotary(positions, past, count, tokens.device)
        result: Tensor = self.model(tokens, rotation, seen, cache)
        return result


def own_generator(seed: int, name: str) -> torch.Generator:
    """A random state for the parameter of this name."""
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 2)


def first_weights(
    config: ModelConfig, generator: torch.Generator | None = None
) -> Callable[[str, torch.Size], Tensor]:
    """(name, shape) -> first values of that parameter, fp32 on the CPU.

    Each has a random state of its own, so that a rank draws only what lies on it.
    """
    seed = int(torch.randint(2**62, (), generator=generator))

    def draw(name: str, shape: torch.Size) -> Tensor:
        if len(shape) == 1:
            return torch.ones(shape)
        own = own_generator(seed, name)
        return torch.empty(shape).normal_(0.0, config.initializer_range, generator=own)

    return draw


def build_model(config: ModelConfig, generator: torch.Generator | None = None) -> CausalLM:
    """A model of the configuration's architecture; see `CausalLM`."""
    architecture: type[CausalLM] = registry.load("models", config.ARCHITECTURE)
    return architecture(config, generator)
