"""`codekiln report`: pages of made-up runs, read back as HTML."""

import json
import re
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from codekiln.cli.report.command import report
from codekiln.cli.report.figures import POINTS, figures, summary
from codekiln.cli.report.run import Run, differing, labels
from codekiln.errors import UserError


def step(number: int, **more: Any) -> dict[str, Any]:
    return {
        "step": number,
        "tokens": 100 * number,
        "loss_nats_per_token": 8.0 / number,
        "learning_rate": 1e-3,
        "gradient_norm": 1.0,
        "tokens_per_second": 50.0,
        "step_seconds": 2.0,
        "loader_seconds": 0.02,
        "memory_peak_bytes": 10**8,
        "skipped_steps": 0,
        "spiked_steps": 1,
        "mfu": None,
        **more,
    }


def evaluation(number: int, bits: float, **more: Any) -> dict[str, Any]:
    kinds = {"code": bits, "fim_middle": 2 * bits}
    return {
        "step": number,
        "tokens": 100 * number,
        "held_out_bits_per_byte": bits,
        "held_out_by_kind": {k: {"bits_per_byte": v} for k, v in kinds.items()},
        "held_out_by_language": {},
        **more,
    }


def write(folder: Path, rows: Sequence[Mapping[str, Any]], recipe: str = "") -> Path:
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "recipe.toml").write_text(recipe)
    return folder


class Text(HTMLParser):
    """Cells by row; whether something is loaded from elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"} and self.rows:
            self.rows[-1].append("")
            self.inside = True
        places = [str(value) for key, value in attrs if key in {"src", "href"}]
        self.loads += [place for place in places if not place.startswith("#")]

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1] and self.inside:
            self.rows[-1][-1] += data.strip()


def made(*arguments: str | Path) -> tuple[Text, str]:
    result = CliRunner().invoke(report, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    path = Path(result.output.rsplit(": ", 1)[1].strip())
    return Text(path.read_text()), path.read_text()


def test_one_run_is_a_page_that_needs_nothing_else(tmp_path: Path) -> None:
    rows = [evaluation(0, 4.0), *[step(n) for n in range(1, 21)], evaluation(20, 1.5)]
    page, text = made(write(tmp_path / "small", rows))
    assert (tmp_path / "small" / "report.html").exists()
    assert not page.loads
    found = {row[0]: row[1] for row in page.rows if len(row) == 2}
    assert found["steps"] == "20"
    assert found["tokens"] == "2k"
    assert found["time in steps"] == "40s"
    assert found["held-out bits per byte"] == "1.5000"
    assert found["of FIM middles"] == "3.0000"
    assert found["loss, nats a token, last tenth"] == f"{(8 / 19 + 8 / 20) / 2:.4f}"
    assert found["loader, share of a step"] == "1.00%"
    assert found["spikes; steps skipped"] == "1; 0"
    assert "MFU" not in found  # nobody knows the peak
    assert page.tags.count("svg") == 5  # loss, kinds, gradient, rate, throughput
    assert "40s of training. " in text


def test_a_run_that_goes_on_says_so(tmp_path: Path) -> None:
    folder = write(tmp_path / "run", [step(1), step(2)])
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "plan.json").write_text(json.dumps({"plan": {"total_steps": 8}}))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "tok')  # being written
    page, text = made(folder)
    assert "so far, 2 of 8 steps" in text
    assert ["steps", "2 of 8"] in page.rows


def test_several_runs_are_held_against_each_other(tmp_path: Path) -> None:
    more = {"infilling_exact_match": 0.25, "infilling_problems": 4.0, "infilling_seconds": 1.0}
    one = write(
        tmp_path / "one" / "seed-0",
        [step(1), evaluation(1, 2.0, **more)],
        "[run]\nseed = 0\n[optimizer]\nname = 'muon'\n",
    )
    two = write(
        tmp_path / "two" / "seed-0",
        [step(1, mfu=0.5), evaluation(1, 1.0)],
        "[run]\nseed = 0\n[optimizer]\nname = 'adamw'\n[lora]\nrank = 8\n",
    )
    page, _ = made(one, two, "--out", tmp_path / "page.html")
    assert ["", "one/seed-0", "two/seed-0"] in page.rows
    assert ["held-out bits per byte", "2.0000", "1.0000"] in page.rows
    assert ["infilling_exact_match", "0.250", "—"] in page.rows
    assert ["MFU", "—", "50.0%"] in page.rows
    assert ["optimizer.name", "muon", "adamw"] in page.rows
    assert ["lora.rank", "—", "8"] in page.rows
    assert not any(row[0] == "run.seed" for row in page.rows if row)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no metrics\.jsonl"):
        CliRunner().invoke(report, [str(tmp_path)], catch_exceptions=False)


def test_names_are_as_long_as_they_need_to_be(tmp_path: Path) -> None:
    assert labels([tmp_path / "a", tmp_path / "b"]) == ["a", "b"]
    assert labels([tmp_path / "a" / "run", tmp_path / "b" / "run"]) == ["a/run", "b/run"]
    assert len(set(labels([tmp_path, tmp_path]))) == 2


def test_long_curves_are_thinned_by_means() -> None:
    rows = [step(n, loss_nats_per_token=float(n)) for n in range(1, 2 * POINTS + 2)]
    run = Run(name="run", rows=rows)
    (loss, *_) = figures([run])
    assert loss.title == "Loss on the training batches"
    longest = max(re.findall(r' d="([^"]*)"', loss.svg), key=len)
    assert longest.count("L") < POINTS
    assert dict(summary([run]))["loss, nats a token, last tenth"] == [
        f"{sum(range(542, 602)) / 60:.4f}"
    ]


def test_what_is_not_finite_has_no_point() -> None:
    run = Run(name="run", rows=[step(1), step(2, loss_nats_per_token=None), step(3)])
    assert run.curve("loss_nats_per_token") == ([100, 300], [8.0, 8.0 / 3])
    one = Run(name="one", rows=[], settings={"run.seed": 1, "run.stage": "pretrain"})
    two = Run(name="two", rows=[], settings={"run.seed": 2, "run.stage": "pretrain"})
    assert differing([one, two]) == [("run.seed", ["1", "2"])]


def test_rows_now_and_then_stand_for_the_steps_between(tmp_path: Path) -> None:
    rows = [*(step(n) for n in (7, 14, 20)), evaluation(20, 1.0, checkpoint_stall_seconds=1.0)]
    found = dict(summary([Run(name="run", rows=rows)]))
    assert found["steps"] == ["20"]
    assert found["time in steps"] == ["40s"]
    assert found["checkpoints, share of time"] == ["2.50%"]
    found = dict(summary([Run(name="run", rows=rows[-1:])]))
    assert found["tokens"] == ["2k"]
    assert "checkpoints, share of time" not in found


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    folders = [write(tmp_path / name, [step(1), step(2)]) for name in ("a$\\foo$b", "_<i>")]
    _, text = made(*folders, "--out", tmp_path / "page.html")
    assert "a$\\foo$b" in text
    assert "_&lt;i&gt;" in text
