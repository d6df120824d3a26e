"""Drivers' names of devices, as they were seen, and the data sheets they stand for."""

import pytest

from codekiln.training.hardware import gpu, recognised


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-40GB", "a100-40"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100 80GB PCIe", "a100"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 3090 Ti", "rtx-3090"),
        ("AMD Instinct MI300X", "mi300x"),
        ("NVIDIA L4", None),
        ("Tesla T4", None),
        ("NVIDIA GeForce RTX 4060 Laptop GPU", None),
    ],
)
def test_a_drivers_name_finds_its_data_sheet(name: str, wanted: str | None) -> None:
    assert recognised(name) == (gpu(wanted) if wanted else None)
