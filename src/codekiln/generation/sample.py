"""How the next token is chosen: greedy, temperature, top-k, top-p, penalties, log-probabilities.

Order of the steps: control of the logits (banned ids, logit bias, penalties), then temperature,
then top-k, then top-p on what top-k left. Log-probabilities are those of the model itself: of
the raw logits over the tokenizer's ids, before any of these steps, so that a request's settings
do not change what it is told about the model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codekiln.errors import CodekilnError, UserError

MAX_LOGPROBS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How to continue a prompt.

    Args:
        temperature: 0 is greedy; 1 is the model's own distribution.
        top_k: only the k likeliest ids; 0 is all of them.
        top_p: only the smallest set of likeliest ids whose probabilities reach p; 0 keeps one.
        max_new_tokens: at most this many; fewer where the context ends.
        seed: equal seeds give equal texts; None draws a new one for each request.
        stop: strings before which the text ends.
        presence_penalty: taken off the logit of an id that was generated already.
        frequency_penalty: taken off a logit for each time that the id was generated.
        logit_bias: (id, amount added to its logit).
        logprobs: None, or how many of the likeliest ids to report beside the chosen one.

    Raises:
        UserError: a value outside its range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    max_new_tokens: int = 128
    seed: int | None = None
    stop: tuple[str, ...] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    logprobs: int | None = None

    def __post_init__(self) -> None:
        finite = math.isfinite(self.temperature)
        _check("temperature", self.temperature, finite and self.temperature >= 0, "0 or more")
        _check("top_k", self.top_k, self.top_k >= 0, "0 (all) or more")
        _check("top_p", self.top_p, 0 <= self.top_p <= 1, "0 to 1")
        _check("max_new_tokens", self.max_new_tokens, self.max_new_tokens >= 0, "0 or more")
        _check("stop", self.stop, all(self.stop), "strings that are not empty")
        for name in ("presence_penalty", "frequency_penalty"):
            value = getattr(self, name)
            _check(name, value, math.isfinite(value), "a finite number")
        finite = all(math.isfinite(amount) for _, amount in self.logit_bias)
        _check("logit_bias", self.logit_bias, finite, "finite numbers")
        few = self.logprobs is None or 0 <= self.logprobs <= MAX_LOGPROBS
        _check("logprobs", self.logprobs, few, f"0 to {MAX_LOGPROBS}")

    @property
    def plain_greedy(self) -> bool:
        """Whether the likeliest id is all that is asked for."""
        adjusted = self.presence_penalty or self.frequency_penalty or self.logit_bias
        return self.temperature == 0 and not adjusted and self.logprobs is None


def _check(name: str, value: object, right: bool, wanted: str) -> None:
    if not right:
        raise UserError(f"sampling: {name}", got=repr(value), wanted=wanted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One chosen id; `logprob` in nats and the likeliest ids only where they were asked for."""

    token: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class Sampler:
    """Chooses the ids of one request, one after the other; owns the request's random numbers.

    Random numbers are drawn on the CPU, so that a seed gives the same text on every device.

    Args:
        sampling: the request's settings.
        vocab_size: ids from here on are padding of the embedding and never chosen.
    """

    def __init__(self, sampling: Sampling, vocab_size: int) -> None:
        self.sampling, self.vocab_size = sampling, vocab_size
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed % 2**63)
        outside = [token for token, _ in sampling.logit_bias if not 0 <= token < vocab_size]
        _check("logit_bias", outside, not outside, f"ids below {vocab_size}")
        self._bias = torch.zeros(vocab_size) if sampling.logit_bias else None
        for token, amount in sampling.logit_bias:
            self._bias[token] += amount  # type: ignore[index]
        penalties = sampling.presence_penalty or sampling.frequency_penalty
        self._counts = torch.zeros(vocab_size) if penalties else None

    def choose(self, logits: Tensor) -> Choice:
        """The next id, from the logits [vocabulary] of the last position.

        Raises:
            CodekilnError: logits that are not numbers (a broken checkpoint).
        """
        logits = logits[: self.vocab_size].detach().to("cpu", torch.float32)
        token = self._draw(self._adjusted(logits))
        _check_finite(float(logits[token]))
        if self._counts is not None:
            self._counts[token] += 1
        return described(token, logits, self.sampling.logprobs)

    def _adjusted(self, logits: Tensor) -> Tensor:
        if self._bias is not None:
            logits = logits + self._bias
        if self._counts is not None:
            logits = logits - self.sampling.frequency_penalty * self._counts
            logits = logits - self.sampling.presence_penalty * (self._counts > 0)
        return logits

    def _draw(self, logits: Tensor) -> int:
        settings = self.sampling
        if settings.temperature == 0 or bool(logits.isnan().any()):
            return int(logits.argmax())
        ids, probabilities = distribution(
            logits, temperature=settings.temperature, top_k=settings.top_k, top_p=settings.top_p
        )
        return int(ids[torch.multinomial(probabilities, 1, generator=self._generator)])


def distribution(
    logits: Tensor, *, temperature: float, top_k: int = 0, top_p: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The ids that may be drawn and their probabilities, which sum to 1.

    The likeliest id always stays. Among equal logits the lower id counts as likelier.

    Args:
        logits: [vocabulary], fp32.
        temperature: over 0; the highest logit is subtracted first, so a tiny one is safe.
        top_k: 0 is all ids.
        top_p: 1 is all ids.
    """
    scaled = (logits - logits.max()) / max(temperature, 1e-6)
    if top_k <= 0 and top_p >= 1:
        return torch.arange(len(logits)), scaled.softmax(-1)
    scaled, ids = scaled.sort(descending=True, stable=True)
    if top_k > 0:
        scaled, ids = scaled[:top_k], ids[:top_k]
    probabilities = scaled.softmax(-1)
    if top_p < 1:
        before = probabilities.cumsum(-1) - probabilities
        kept = max(int((before < top_p).sum()), 1)
        ids, probabilities = ids[:kept], probabilities[:kept]
    return ids, probabilities / probabilities.sum()


def described(token: int, logits: Tensor, logprobs: int | None) -> Choice:
    """A choice with its log-probability (nats) and the `logprobs` likeliest ids beside it."""
    if logprobs is None:
        return Choice(token=token)
    values = logits.float().log_softmax(-1)
    top = values.topk(min(logprobs, len(values)))
    pairs = zip(top.indices.tolist(), top.values.tolist(), strict=True)
    return Choice(token=token, logprob=float(values[token]), top=tuple(pairs))


def choose(samplers: Sequence[Sampler], logits: Tensor) -> list[Choice]:
    """The next id of each request, from logits [requests, vocabulary].

    Raises:
        CodekilnError: logits that are not numbers.
    """
    if all(sampler.sampling.plain_greedy for sampler in samplers) and samplers:
        best = logits[:, : samplers[0].vocab_size].max(-1)  # one transfer for all
        for value in best.values.tolist():
            _check_finite(value)
        return [Choice(token=token) for token in best.indices.tolist()]
    rows = logits.detach().to("cpu", torch.float32)
    return [sampler.choose(row) for sampler, row in zip(samplers, rows, strict=True)]


def _check_finite(logit: float) -> None:
    if not math.isfinite(logit):
        raise CodekilnError("the model's logits are not numbers: its weights are damaged")
