"""From prompts to a completions file, resumed after a cut."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from codekiln.evaluation import generate
from codekiln.evaluation.generate import Ask, complete
from codekiln.generation.sample import Sampling

ASKS = [Ask(problem_id=f"T/{n}", ids=[n, n + 1]) for n in range(70)]
SAMPLING = Sampling(max_new_tokens=4, stop=("\n",))


class Counting:
    """An engine that writes the sum of a prompt's ids, and may break after some prompts."""

    tokenizer = None
    context_length = 64

    def __init__(self, breaks_after: int = 10_000):
        self.left = breaks_after
        self.asked: list[list[int]] = []

    def complete_batch(self, prompts, sampling):
        self.left -= len(prompts)
        if self.left < 0:
            raise KeyboardInterrupt
        self.asked += map(list, prompts)
        return [
            SimpleNamespace(text=f"é{sum(ids)}", finish_reason="stop", tokens=1) for ids in prompts
        ]


def test_completions_come_in_order_and_are_kept(tmp_path):
    path = tmp_path / "new" / "c.jsonl"
    found = complete(Counting(), ASKS, SAMPLING, path, model="m")
    assert [(c.problem_id, c.text) for c in found] == [
        (f"T/{n}", f"é{2 * n + 1}") for n in range(70)
    ]
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["task_id"] for row in rows] == [f"T/{n}" for n in range(70)]
    again = Counting()
    assert complete(again, ASKS, SAMPLING, path, model="m") == found
    assert again.asked == []


def test_a_cut_run_goes_on_and_ends_the_same(tmp_path):
    whole = complete(Counting(), ASKS, SAMPLING, tmp_path / "a.jsonl", model="m")
    path = tmp_path / "b.jsonl"
    with pytest.raises(KeyboardInterrupt):
        complete(Counting(breaks_after=40), ASKS, SAMPLING, path, model="m")
    assert len(path.read_text().splitlines()) == generate.ROWS_AT_ONCE
    with path.open("a") as file:
        file.write('{"task_id": "T/32", "compl')  # killed in the middle of a row
    engine = Counting()
    assert complete(engine, ASKS, SAMPLING, path, model="m") == whole
    assert len(engine.asked) == 70 - generate.ROWS_AT_ONCE
    assert path.read_bytes() == (tmp_path / "a.jsonl").read_bytes()


@pytest.mark.parametrize("change", ["model", "sampling", "prompt"])
def test_another_making_starts_anew(tmp_path, change):
    path = tmp_path / "c.jsonl"
    complete(Counting(), ASKS, SAMPLING, path, model="m")
    asks, sampling, model = ASKS, SAMPLING, "m"
    if change == "model":
        model = "n"
    elif change == "sampling":
        sampling = Sampling(max_new_tokens=5)
    else:
        asks = [Ask(problem_id="T/0", ids=[9]), *ASKS[1:]]
    engine = Counting()
    complete(engine, asks, sampling, path, model=model)
    assert len(engine.asked) == 70
    assert len(path.read_text().splitlines()) == 70
