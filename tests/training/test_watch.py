"""What a run's speed is held against."""

from pathlib import Path

import pytest
import torch

from codekiln.models.lora_settings import LoraSettings
from codekiln.models.settings import ModelSettings
from codekiln.parallel.world import ALONE, Ranks
from codekiln.training.watch import StepTimes, Watch, speed_of

CONFIG = ModelSettings(preset="tiny-1m").config(vocab_size=512)


def test_additions_take_fewer_operations() -> None:
    whole = speed_of(CONFIG, 128, ALONE, "float32", 1000, LoraSettings())
    narrow = speed_of(CONFIG, 128, ALONE, "float32", 1000, LoraSettings(rank=2))
    assert 0.6 < narrow.flops_per_token / whole.flops_per_token < 0.8
    assert whole.peak_flops is None  # of a CPU nobody says it


def test_utilisation_and_time_left_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "NVIDIA H100 80GB HBM3")
    ranks = Ranks(rank=0, size=2, device=torch.device("cuda", 0))
    speed = speed_of(CONFIG, 128, ranks, "bfloat16", 10_000, LoraSettings())
    assert speed.peak_flops == 2 * 989e12
    seen = Watch(tmp_path, speaks=False, tensorboard=False)
    seen.begin(0, speed)
    for seconds in (1.0, 3.0):
        seen.time(StepTimes(tokens=2000, seconds=seconds, loader_seconds=0.0))
    assert seen.seconds_left(4000) == pytest.approx(6.0)  # 6000 more at 1000 a second
    expected = speed.flops_per_token * 2000 / 3.0 / (2 * 989e12)
    assert seen._utilisation == pytest.approx(expected)
