"""On a GPU: bf16 by the fused kernels against fp32 with a mask on the CPU."""

from typing import Any

import pytest
import torch

from codekiln.models.causal import build_model
from codekiln.models.config import config_class

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
DENSE: dict[str, Any] = {
    "vocab_size": 512,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SPARSE: dict[str, Any] = {
    **{key: value for key, value in DENSE.items() if key != "num_key_value_heads"},
    "kv_lora_rank": 64,
    "qk_nope_head_dim": 64,
    "qk_rope_head_dim": 32,
    "v_head_dim": 64,
    "n_routed_experts": 16,
    "n_shared_experts": 1,
    "num_experts_per_tok": 4,
    "moe_intermediate_size": 128,
    "first_k_dense_replace": 1,
}
KINDS = {"LlamaForCausalLM": DENSE, "DeepseekV2ForCausalLM": SPARSE}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("architecture", KINDS)
def test_losses_and_gradients_by_document(architecture: str, compiled: bool) -> None:
    config = config_class(architecture)(**KINDS[architecture])
    exact = build_model(config, torch.Generator().manual_seed(0))
    fast = build_model(config, torch.Generator().manual_seed(0)).cuda()
    tokens = torch.randint(0, 512, (2, 256), generator=torch.Generator().manual_seed(1))
    documents = (torch.arange(256) // 100).expand(2, -1)
    positions = (torch.arange(256) % 100).expand(2, -1)
    targets = tokens.roll(-1, 1)
    loss = exact.loss(tokens, targets, positions=positions, document_ids=documents)
    loss.backward()
    compute = torch.compile(fast.loss) if compiled else fast.loss
    with torch.autocast("cuda", torch.bfloat16):
        found = compute(
            tokens.cuda(),
            targets.cuda(),
            positions=positions.cuda(),
            document_ids=documents.cuda(),
        )
    found.backward()
    assert abs(found.item() - loss.item()) < 2e-2
    gradients = dict(fast.named_parameters())
    for name, parameter in exact.named_parameters():
        other = gradients[name].grad
        assert parameter.grad is not None
        assert other is not None
        error = (other.cpu() - parameter.grad).norm() / parameter.grad.norm()
        # a token near a tie goes to another expert in bf16
        assert error < (0.3 if "experts" in name or "gate." in name else 0.1), name
