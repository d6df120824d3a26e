"""A model and its tokenizer, ready to continue prompts: one at a time, streamed, or in batches.

Engines get token ids; `infill.build_prompt` makes them. Two kinds of ids end a text: every
control token of the tokenizer (none has text of its own, and in training a new piece begins after
each of them), and whatever the model's configuration names as end (some models name several).

Threads: any number may generate at once. A lock is held for one step of one request and never
across a yield, so requests take turns token by token, a request that is closed or forgotten
blocks nobody, and the cores are not fought over.

Steps run in inference mode, a tenth faster than without gradients alone. What the model keeps
between calls (its table of rotary angles) must not be made there, or training could not go on
with the model that it has just evaluated: the engine has it made once, beforehand.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from codekiln.errors import CheckpointError, PromptError
from codekiln.generation.cache import KVCache
from codekiln.generation.sample import Choice, Sampler, Sampling, choose, described
from codekiln.generation.stop import TextAssembler
from codekiln.generation.style import PromptStyle
from codekiln.tokenizer.tokenizer import Tokenizer
from codekiln.types import FinishReason

if TYPE_CHECKING:
    from codekiln.models.causal import CausalLM

PREFILL_TOKENS = 512  # a prompt is read in chunks of this many ids
LOCKSTEP_TOKENS = 64  # prompts of one batch differ by at most this many ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one step adds: text (often none yet), tokens counted (0 while the prompt is read).

    `choice` is the id chosen, with its log-probability where that was asked for; None while
    the prompt is read. `finish_reason` stands in the last piece only.
    """

    text: str = ""
    tokens: int = 0
    choice: Choice | None = None
    finish_reason: FinishReason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A whole continuation.

    `tokens` counts every id that was chosen, the one that ended the text included;
    `choices` are those ids in order, with log-probabilities where they were asked for.
    """

    text: str
    finish_reason: FinishReason
    tokens: int
    prompt_tokens: int
    choices: tuple[Choice, ...] = ()


class Engine:
    """Continues prompts with one model.

    Args:
        model: on its device, in its dtype; it is put into evaluation mode.
        tokenizer: the one that it was trained with.
        style: how it was taught to read prompts, for whoever builds them.

    Raises:
        CheckpointError: the tokenizer has more ids than the model.
    """

    def __init__(
        self, model: CausalLM, tokenizer: Tokenizer, style: PromptStyle | None = None
    ) -> None:
        if tokenizer.vocab_size > model.config.vocab_size:
            raise CheckpointError(
                "tokenizer",
                got=f"{tokenizer.vocab_size} ids",
                wanted=f"at most the {model.config.vocab_size} ids of the model",
                remedy="use the tokenizer that the model was trained with",
            )
        self.model, self.tokenizer = model.eval(), tokenizer
        self.device = next(model.parameters()).device
        self.context_length: int = model.config.max_position_embeddings
        special = [getattr(tokenizer.special, f.name) for f in fields(tokenizer.special)]
        ends = [token for token in special if token is not None]
        self._ends = frozenset((*ends, *model.config.eos_token_ids))
        style = style or PromptStyle()
        self.fim_order, self.file_order = style.fim_order, style.file_order
        self._lock = threading.Lock()
        self._lay_out_angles()

    @classmethod
    def load(
        cls, folder: Path, *, device: str = "auto", dtype: torch.dtype | None = None
    ) -> Engine:
        """Load a model folder, or a run folder's final model.

        Args:
            folder: holds config.json, or `model/` that does.
            device: "auto" is the GPU where there is one.
            dtype: of the weights; None is fp32 on the CPU and bf16 on a GPU.

        Raises:
            CheckpointError: no model there, or a damaged one.
            TokenizerError: no tokenizer beside it, or a damaged one.
        """
        from codekiln.models.folder import find_model
        from codekiln.models.weights import load_model

        folder = find_model(folder)
        style = PromptStyle.read(folder)
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        if dtype is None:
            dtype = torch.float32 if device == "cpu" else torch.bfloat16
        model = load_model(folder, dtype=dtype, device=device)
        return cls(model, Tokenizer.load(folder), style)

    def generate(self, ids: Sequence[int], sampling: Sampling) -> Iterator[Piece]:
        """Continue `ids`, piece by piece; closing the iterator cancels the rest.

        Pieces come once per chosen id, and once per chunk while the prompt is read. Their
        texts, joined, are the text that `complete` gives.

        Raises:
            PromptError: at once: empty, ids that the tokenizer lacks, or longer than the context.
        """
        request = self._request(ids, sampling)
        return self._generate(request)

    def check(self, ids: Sequence[int], sampling: Sampling) -> None:
        """Refuse what `generate` would refuse, and compute nothing.

        Raises:
            PromptError: as in `generate`.
        """
        self._request(ids, sampling)

    def complete(self, ids: Sequence[int], sampling: Sampling) -> Result:
        """Continue `ids` to the end.

        Raises:
            PromptError: as in `generate`.
        """
        request = self._request(ids, sampling)
        for _ in self._generate(request):
            pass
        return request.result()

    def complete_batch(
        self,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling | Sequence[Sampling],
        *,
        batch_size: int = 16,
    ) -> list[Result]:
        """Continue many prompts; each result is the one that `complete` gives.

        Prompts of similar length go through the model together, in lockstep and without
        padding: the shortest sets how much is read at once, and where the others still have
        prompt left, they read on while it already writes. (In fp32 the sums of a batch are
        ordered differently: a tie within about 1e-6 may fall otherwise.)

        Args:
            prompts: token ids each.
            sampling: one for all, or one for each prompt.
            batch_size: rows at once; each has its own cache.

        Raises:
            PromptError: as in `generate`, before anything is computed.
        """
        settings = [sampling] * len(prompts) if isinstance(sampling, Sampling) else sampling
        requests = [self._request(*pair) for pair in zip(prompts, settings, strict=True)]
        for group in _groups([r for r in requests if r.left], batch_size):
            self._run_in_lockstep(group)
        return [request.result() for request in requests]

    @torch.inference_mode()
    def score(self, ids: Sequence[int], logprobs: int = 0) -> list[Choice]:
        """How likely the model found each id after the first, given those before it.

        Raises:
            PromptError: as in `generate`.
        """
        self._request(ids, Sampling(max_new_tokens=0))
        cache, scores = self._new_cache(), []
        for start in range(0, len(ids) - 1, PREFILL_TOKENS):
            chunk = ids[start : min(start + PREFILL_TOKENS, len(ids) - 1)]
            logits = self._forward([chunk], cache, last_only=False)[0]
            following = ids[start + 1 : start + 1 + len(chunk)]
            for row, token in zip(logits[:, : self.tokenizer.vocab_size], following, strict=True):
                scores.append(described(token, row.float().cpu(), logprobs))
        return scores

    def _request(self, ids: Sequence[int], sampling: Sampling) -> _Request:
        return _Request(ids, sampling, self.tokenizer, self._ends, self.context_length)

    def _generate(self, request: _Request) -> Iterator[Piece]:
        if request.left == 0:
            yield Piece(finish_reason="length")
            return
        cache, ids = self._new_cache(), request.ids
        for start in range(0, len(ids), PREFILL_TOKENS):
            if start:
                yield Piece()
            logits = self._forward([ids[start : start + PREFILL_TOKENS]], cache)
        while True:
            (choice,) = choose([request.sampler], logits[:, -1])
            piece = request.advance(choice)
            yield piece
            if piece.finish_reason is not None:
                return
            logits = self._forward([[choice.token]], cache)

    @torch.inference_mode()
    def _run_in_lockstep(self, rows: list[_Request]) -> None:
        cache, at = self._new_cache(), min(len(row.ids) for row in rows)
        for start in range(0, at, PREFILL_TOKENS):
            end = min(start + PREFILL_TOKENS, at)
            logits = self._forward([row.ids[start:end] for row in rows], cache)
        while True:
            writing = [i for i, row in enumerate(rows) if at >= len(row.ids)]
            following = [row.ids[at] if at < len(row.ids) else None for row in rows]
            choices = choose([rows[i].sampler for i in writing], logits[writing, -1])
            for i, choice in zip(writing, choices, strict=True):
                if rows[i].advance(choice).finish_reason is None:
                    following[i] = choice.token
            going_on = [i for i, token in enumerate(following) if token is not None]
            if not going_on:
                return
            if len(going_on) < len(rows):
                cache.select(torch.tensor(going_on, device=self.device))
                rows = [rows[i] for i in going_on]
            logits = self._forward([[t] for t in following if t is not None], cache)
            at += 1

    @torch.inference_mode()
    def _forward(
        self, ids: Sequence[Sequence[int]], cache: KVCache, *, last_only: bool = True
    ) -> Tensor:
        """Logits [batch, 1 or S, vocabulary] of one step; the only place that holds the lock."""
        tokens = torch.tensor(ids, dtype=torch.int64, device=self.device)
        with self._lock:
            return self.model(tokens, cache=cache, last_only=last_only)

    @torch.no_grad()
    def _lay_out_angles(self) -> None:
        """Read one token at the last position: angles are made up to there and kept."""
        last = torch.full((1, 1), self.context_length - 1, device=self.device)
        self.model(torch.zeros_like(last), positions=last)

    def _new_cache(self) -> KVCache:
        return KVCache(self.model.config.num_hidden_layers, self.context_length)


class _Request:
    """One prompt under way: what was chosen, the text so far, and why it ended."""

    def __init__(
        self,
        ids: Sequence[int],
        sampling: Sampling,
        tokenizer: Tokenizer,
        ends: frozenset[int],
        context_length: int,
    ) -> None:
        self.ids, self.sampling = list(ids), sampling
        self._tokenizer, self._ends = tokenizer, ends
        _check_prompt(self.ids, sampling, tokenizer.vocab_size, context_length)
        self.left = min(sampling.max_new_tokens, context_length - len(self.ids))
        self.sampler = Sampler(sampling, tokenizer.vocab_size)
        self._assembler = TextAssembler(sampling.stop)
        self._texts: list[str] = []
        self._choices: list[Choice] = []
        self._reason: FinishReason = "cancelled" if self.left else "length"

    def advance(self, choice: Choice) -> Piece:
        """Take the id chosen after what there is; what the text gains by it."""
        self._choices.append(choice)
        self.left -= 1
        reason: FinishReason | None = None
        if choice.token in self._ends:
            text, reason = self._assembler.finish(), "stop"
        else:
            text = self._assembler.add(self._tokenizer.token_bytes(choice.token))
            if self._assembler.stopped:
                reason = "stop"
            elif self.left == 0:
                text, reason = text + self._assembler.finish(), "length"
        self._texts.append(text)
        self._reason = reason or self._reason
        return Piece(text=text, tokens=1, choice=choice, finish_reason=reason)

    def result(self) -> Result:
        """All of it; `finish_reason` is "cancelled" where it did not come to an end."""
        return Result(
            text="".join(self._texts),
            finish_reason=self._reason,
            tokens=len(self._choices),
            prompt_tokens=len(self.ids),
            choices=tuple(self._choices),
        )


def _check_prompt(
    ids: Sequence[int], sampling: Sampling, vocab_size: int, context_length: int
) -> None:
    if not ids:
        raise PromptError("prompt", got="no token at all", wanted="at least one token id")
    outside = next((token for token in ids if not 0 <= token < vocab_size), None)
    if outside is not None:
        wanted = f"ids from 0 to {vocab_size - 1}"
        raise PromptError("prompt", got=f"token id {outside}", wanted=wanted)
    most = context_length - min(sampling.max_new_tokens, 1)
    if len(ids) > most:
        raise PromptError(
            "prompt",
            got=f"{len(ids)} tokens",
            wanted=f"at most {most}: the model's context holds {context_length}",
            remedy="shorten the prompt, or leave out context files",
        )


def _groups(requests: Sequence[_Request], batch_size: int) -> Iterator[list[_Request]]:
    """Requests of similar prompt length together, the longest first (memory is known early)."""
    group: list[_Request] = []
    for request in sorted(requests, key=lambda request: -len(request.ids)):
        far = group and len(group[0].ids) - len(request.ids) > LOCKSTEP_TOKENS
        if group and (far or len(group) >= batch_size):
            yield group
            group = []
        group.append(request)
    if group:
        yield group
