"""Devices and precisions."""

import pytest
import torch

from codekiln.errors import UserError
from codekiln.training.device import candidates, pick_device

CPU = torch.device("cpu")


def test_the_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for present, kind in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda p=present: p)
        assert pick_device("auto").type == kind
        assert pick_device("cpu").type == "cpu"


def test_a_gpu_that_is_not_there_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="no GPU") as caught:
        pick_device("cuda")
    assert '"cpu"' in caught.value.remedy


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, ["float32", "bfloat16"]),
        ({"avx512_bf16": False, "amx_bf16": False}, ["float32"]),
        ({}, ["float32"]),
    ],
)
def test_a_cpu_tries_bfloat16_only_with_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, features: dict[str, bool], expected: list[str]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: features)
    assert candidates("auto", CPU) == expected
    assert candidates("bfloat16", CPU) == ["bfloat16"]  # what is asked for is done
    assert candidates("float32", CPU) == ["float32"]
