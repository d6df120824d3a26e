"""Experts in and out of a folder: bit for bit, in bounded memory; damaged ones are refused."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from codekiln.errors import CheckpointError
from codekiln.models.moe import DeepseekV2ForCausalLM
from codekiln.models.moe_config import DeepseekV2Config
from codekiln.models.weights import load_model, save_model

EXPERT = "model.layers.1.mlp.experts.{}.{}_proj.weight"


@pytest.fixture
def model(shape: dict[str, Any]) -> DeepseekV2ForCausalLM:
    return DeepseekV2ForCausalLM(DeepseekV2Config(**shape), torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shard", [10**9, 3000])
def test_a_saved_model_comes_back_bit_for_bit(
    model: DeepseekV2ForCausalLM, tmp_path: Path, shard: int
) -> None:
    save_model(model, None, tmp_path / "m", max_shard_bytes=shard)
    loaded = load_model(tmp_path / "m")
    first, second = model.state_dict(), loaded.state_dict()
    assert list(first) == list(second)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert loaded.config == model.config


def test_the_files_hold_each_experts_own_matrices(
    model: DeepseekV2ForCausalLM, tmp_path: Path
) -> None:
    save_model(model, None, tmp_path / "m")
    tensors = load_file(tmp_path / "m/model.safetensors")
    experts = model.model.layers[1].mlp.experts
    for item in range(8):
        gate, up = experts.gate_up_proj[item].chunk(2)
        for kind, wanted in (("gate", gate), ("up", up), ("down", experts.down_proj[item])):
            assert torch.equal(tensors.pop(EXPERT.format(item, kind)), wanted)
    assert not any(".experts." in name and "shared" not in name for name in tensors)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        (EXPERT.format(3, "up"), None, r"1 tensors missing: .*experts\.3\.up_proj"),
        (EXPERT.format(8, "up"), torch.zeros(16, 32), r"does not have: .*experts\.8\.up_proj"),
        (EXPERT.format(3, "up"), torch.zeros(32, 32), r"shape \[32, 32\]"),
        ("model.layers.1.self_attn.kv_b_proj.bias", torch.zeros(32), "have biases"),
        ("model.layers.0.mlp.gate.weight", torch.zeros(8, 32), "does not have"),
    ],
)
def test_damaged_folders_are_refused(
    model: DeepseekV2ForCausalLM,
    tmp_path: Path,
    name: str,
    tensor: torch.Tensor | None,
    message: str,
) -> None:
    save_model(model, None, tmp_path / "m")
    tensors = load_file(tmp_path / "m/model.safetensors")
    tensors.pop(name, None)
    if tensor is not None:
        tensors[name] = tensor
    save_file(tensors, tmp_path / "m/model.safetensors")
    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scoring_func": "sigmoid"}, "scoring_func"),
        ({"moe_layer_freq": 2}, "moe_layer_freq"),
        ({"topk_method": "noaux_tc"}, "topk_method = 'noaux_tc'"),
        ({"topk_method": "group_limited_greedy", "n_group": 3}, "do not divide"),
        ({"num_experts_per_tok": 9}, "num_experts_per_tok = 9 of 8"),
        ({"num_key_value_heads": 1}, "share one latent"),
        ({"kv_lora_rank": None}, "lacks kv_lora_rank"),
        ({"architectures": ["DeepseekV3ForCausalLM"]}, "DeepseekV3ForCausalLM"),
        ({"rope_scaling": {"type": "yarn", "factor": 40}}, "original_max_position_embeddings"),
    ],
)
def test_other_models_are_refused_by_name(
    model: DeepseekV2ForCausalLM, tmp_path: Path, change: dict, message: str
) -> None:
    save_model(model, None, tmp_path / "m")
    path = tmp_path / "m/config.json"
    values = json.loads(path.read_text()) | change
    if "rope_scaling" in change:
        del values["rope_parameters"]
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=message):
        load_model(tmp_path / "m")


def test_nulls_of_a_released_configuration_are_defaults(
    model: DeepseekV2ForCausalLM, tmp_path: Path
) -> None:
    released = model.config.to_hf() | {
        "n_group": None,
        "topk_group": None,
        "q_lora_rank": None,
        "head_dim": 64,
        "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV2Config"},
        "ep_size": 1,
    }
    assert DeepseekV2Config.from_hf(released) == model.config


STREAMING = """
import resource, sys
from pathlib import Path
from typing import Any
import torch
from codekiln.models.weights import import_hf

def data_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))

torch.set_num_threads(1)
room = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_DATA, (data_bytes() + room, -1))
import_hf(Path(sys.argv[1]), Path(sys.argv[2]), max_shard_bytes=4_000_000, verify=False)
"""


@pytest.mark.slow
def test_an_import_needs_a_shards_memory_and_not_the_models(
    shape: dict[str, Any], tmp_path: Path
) -> None:
    """120 MB of weights through a process that may allocate 40 MB, and not through one with 6."""
    shape = shape | {"hidden_size": 256, "moe_intermediate_size": 256, "n_routed_experts": 144}
    save_model(
        DeepseekV2ForCausalLM(DeepseekV2Config(**shape)),
        None,
        tmp_path / "m",
        max_shard_bytes=4_000_000,
    )
    assert sum(p.stat().st_size for p in (tmp_path / "m").iterdir()) > 110_000_000

    def run(room: int) -> int:
        command = [sys.executable, "-c", STREAMING, str(tmp_path / "m"), str(tmp_path / "out")]
        return subprocess.run([*command, str(room)], capture_output=True, check=False).returncode

    assert run(6_000_000) != 0
    assert run(40_000_000) == 0
    assert len(list((tmp_path / "out").glob("*.safetensors"))) > 25
