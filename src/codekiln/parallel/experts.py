"""Expert parallelism: each rank has some of the routed experts, and tokens travel to them.

A row is sent for each choice of a token: `expert` ranks exchange counts, then rows, compute, and
send the results back to where they are weighted and added up. No token is dropped.

Source: DeepSeek-V2 §3.1.3. Its limit of devices a token is routing by groups, in the model.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import DeviceMesh, ProcessGroup

from codekiln.models.moe import Experts, Products
from codekiln.parallel.collectives import exchange
from codekiln.parallel.tensor import part_of


def divide(experts: Experts, mesh: DeviceMesh) -> None:
    """Leave this rank its part of a layer's experts, and send tokens to where theirs are."""
    total = len(experts.gate_up_proj)
    experts.gate_up_proj = part_of(experts.gate_up_proj, mesh, 0)
    experts.down_proj = part_of(experts.down_proj, mesh, 0)
    group, here = mesh.get_group(), total // mesh.size()

    def dispatch(products: Products, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        return _dispatch(products, hidden, chosen, weights, here, group)

    experts.dispatch = dispatch


def _dispatch(
    products: Products,
    hidden: Tensor,
    chosen: Tensor,
    weights: Tensor,
    here: int,
    group: ProcessGroup,
) -> Tensor:
    """As `models.experts.routed`, with `here` experts on each rank of the group."""
    by_expert, order = chosen.flatten().sort(stable=True)
    token = order // chosen.shape[1]
    sent = torch.bincount(by_expert // here, minlength=group.size())
    received = torch.empty_like(sent)
    dist.all_to_all_single(received, sent, group=group)
    to_send, to_receive = sent.tolist(), received.tolist()
    rows = exchange(hidden[token], to_send, to_receive, group)
    experts = exchange(by_expert % here, to_send, to_receive, group)[:, None]
    ones = torch.ones(experts.shape, device=hidden.device)
    out = exchange(products(rows, experts, ones), to_receive, to_send, group)
    out = out.float() * weights.flatten()[order, None]
    summed = torch.zeros(hidden.shape, device=hidden.device).index_add(0, token, out)
    return summed.to(hidden.dtype)
