import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codekiln import storage
from codekiln.errors import RecipeError, ShardError, TokenizerError, UserError
from codekiln.tokens import pack as pack_module
from codekiln.tokens.encode import encode_document
from codekiln.tokens.pack import open_shards, pack
from codekiln.tokens.settings import TokensSettings
from codekiln.tokens.sources import Source

SETTINGS = TokensSettings()


def read(path: Path, split: str):
    """Pickled (split, document) pairs stand in for Parquet."""
    return [d for s, d in pickle.loads(path.read_bytes()) if s == split]


@pytest.fixture
def sources(tmp_path, documents):
    paths = []
    for number in range(4):
        rows = [("held_out" if i % 7 == 3 else "train", documents[i]) for i in range(number, 40, 4)]
        if number == 2:
            rows = [("train", d) for _, d in rows]
        path = tmp_path / "corpus" / f"{number:05d}.parquet"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps(rows))
        paths.append(path)
    return paths


def contents(folder: Path):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != "manifest.json"}


def test_shards_hold_the_encoded_documents(sources, tokenizer, tokenizer_folder, tmp_path):
    out = tmp_path / "tokens"
    report = pack(sources, read, tokenizer_folder, SETTINGS, out, seed=4, processes=1)
    for split, settings in (("train", SETTINGS), ("held_out", TokensSettings(fim_rate=0.0))):
        documents = [d for path in sources for d in read(path, split)]
        wanted = [encode_document(d, tokenizer, settings, seed=4) for d in documents]
        shards = open_shards(out, split, tokenizer.sha256)
        assert [s[i].tolist() for s in shards for i in range(len(s))] == [
            e.ids.tolist() for e in wanted
        ]
        assert [int(n) for s in shards for n in s.text_bytes] == [
            len(d.text.encode()) for d in documents
        ]
        got = report.splits[split]
        assert got.documents == len(documents)
        assert got.tokens == sum(len(e.ids) for e in wanted)
        assert got.bytes == sum(len(d.text.encode()) for d in documents)
        assert got.files == sum(max(len(d.spans), 1) for d in documents)
        assert got.fim_files == sum(e.account.fim_files for e in wanted)
    assert report.splits["held_out"].fim_files == 0 < report.splits["train"].fim_files
    assert (report.packed, report.resumed) == (4, 0)
    assert not (out / "held_out-00002.bin").exists()  # nothing was held out there
    assert [s.facts["settings"]["fim_rate"] for s in shards] == [0.0] * 3
    assert [s.sources[code] for s in shards for code in s.source_codes] == [
        Source.of(d) for d in documents
    ]
    written = json.loads((out / "report.json").read_text())
    assert written["train"]["bytes_per_token"] == pytest.approx(
        report.splits["train"].bytes / report.splits["train"].tokens
    )


def test_processes_do_not_change_the_result(sources, tokenizer_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pack_module, "_WORTH_PROCESSES_BYTES", 0)
    for processes in (1, 2):
        pack(
            sources,
            read,
            tokenizer_folder,
            SETTINGS,
            tmp_path / f"{processes}",
            seed=0,
            processes=processes,
        )
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_a_second_run_does_only_what_is_missing(sources, tokenizer_folder, tmp_path):
    out = tmp_path / "tokens"

    def run(settings=SETTINGS, seed=0):
        return pack(sources, read, tokenizer_folder, settings, out, seed=seed, processes=1)

    run()
    whole = contents(out)
    assert run().packed == 0
    assert run(TokensSettings(sequence_length=77)).packed == 0  # cut when read, not when packed
    (out / "train-00001.bin").unlink()
    assert run().packed == 1
    rows = pickle.loads(sources[3].read_bytes())
    sources[3].write_bytes(pickle.dumps(rows[:-1]))
    assert run().packed == 1
    assert contents(out) != whole
    sources[3].write_bytes(pickle.dumps(rows))
    assert run().packed == 1
    assert contents(out) == whole
    assert run(seed=1).packed == run(TokensSettings(fim_rate=0.1), seed=1).packed == 4


def test_the_report_follows_settings_that_need_no_packing(sources, tokenizer_folder, tmp_path):
    out = tmp_path / "tokens"

    def run(**values):
        settings = TokensSettings.model_validate(values)
        return pack(sources, read, tokenizer_folder, settings, out, seed=0, processes=1)

    run()
    found = run(sequence_length=50, packing="best_fit", weights={"python": 2.0})
    written = json.loads((out / "report.json").read_text())
    assert found.packed == 0 and written["sequences"]["packing"] == "best_fit"
    assert written["sequences"]["sources"]["python"]["passes"] == 2.0
    assert found.sequences.packings["best_fit"].padding_share > 0
    with pytest.raises(RecipeError, match="did you mean 'python'"):
        run(weights={"pyton": 2.0})
    assert len(open_shards(out, "train")) == 4  # what is packed stays usable
    assert run().packed == 0


def test_other_grammars_cut_by_syntax_anew(sources, tokenizer_folder, tmp_path, monkeypatch):
    settings = TokensSettings(fim_cut="syntax")

    def packed():
        return pack(sources, read, tokenizer_folder, settings, tmp_path, seed=0, processes=1).packed

    assert packed() > 0 and packed() == 0
    monkeypatch.setattr("codekiln.tokens.pack.versions", lambda: {"tree-sitter": "another"})
    assert packed() > 0 and packed() == 0


def test_shards_of_files_that_are_gone_go_too(sources, tokenizer, tokenizer_folder, tmp_path):
    out = tmp_path / "tokens"
    pack(sources, read, tokenizer_folder, SETTINGS, out, seed=0, processes=1)
    report = pack(sources[:2], read, tokenizer_folder, SETTINGS, out, seed=0, processes=1)
    assert report.packed == 0
    assert sorted(p.name for p in out.glob("*.bin")) == [
        f"{s}-0000{n}.bin" for s in ("held_out", "train") for n in (0, 1)
    ]
    assert len(open_shards(out, "train", tokenizer.sha256)) == 2


def test_an_unfinished_folder_is_not_opened(sources, tokenizer_folder, tmp_path):
    def failing(path, split):
        if path == sources[2]:
            raise OSError("unplugged")
        return read(path, split)

    out = tmp_path / "tokens"
    with pytest.raises(OSError, match="unplugged"):
        pack(sources, failing, tokenizer_folder, SETTINGS, out, seed=0, processes=1)
    with pytest.raises(ShardError, match="did not end"):
        open_shards(out, "train")
    assert pack(sources, read, tokenizer_folder, SETTINGS, out, seed=0, processes=1).resumed == 2
    assert len(open_shards(out, "train")) == 4


def test_a_folder_repacked_in_part_is_not_opened(sources, tokenizer_folder, tmp_path):
    def failing(path, split):
        if path == sources[3]:
            raise OSError("unplugged")
        return read(path, split)

    out = tmp_path / "tokens"
    pack(sources, read, tokenizer_folder, SETTINGS, out, seed=0, processes=1)
    with pytest.raises(OSError, match="unplugged"):
        pack(sources, failing, tokenizer_folder, SETTINGS, out, seed=1, processes=1)
    with pytest.raises(ShardError, match="did not end"):
        open_shards(out, "train")


def test_other_tokenizers_shards_are_refused(sources, tokenizer_folder, tmp_path):
    out = tmp_path / "tokens"
    pack(sources, read, tokenizer_folder, SETTINGS, out, seed=0, processes=1)
    with pytest.raises(ShardError, match="another tokenizer"):
        open_shards(out, "train", "0" * 64)


def test_without_documents_there_is_nothing_to_train_on(tokenizer_folder, tmp_path):
    empty = tmp_path / "00000.parquet"
    empty.write_bytes(pickle.dumps([]))
    for sources in ([], [empty]):
        with pytest.raises(ShardError, match="no training documents"):
            pack(sources, read, tokenizer_folder, SETTINGS, tmp_path / "t", seed=0, processes=1)


def test_without_held_out_documents_only_that_split_is_missing(
    documents, tokenizer_folder, tmp_path
):
    source = tmp_path / "00000.parquet"
    source.write_bytes(pickle.dumps([("train", d) for d in documents]))
    pack([source], read, tokenizer_folder, SETTINGS, tmp_path / "t", seed=0, processes=1)
    with pytest.raises(ShardError, match="no held_out documents"):
        open_shards(tmp_path / "t", "held_out")


def test_fim_with_a_tokenizer_without_its_tokens_names_the_setting(
    sources, tokenizer_folder, tmp_path
):
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    (folder / "tokenizer_config.json").write_text("{}")
    description = json.loads((tokenizer_folder / "tokenizer.json").read_text())
    description["added_tokens"] = description["added_tokens"][:2]
    (folder / "tokenizer.json").write_text(json.dumps(description))
    with pytest.raises(TokenizerError, match="fim_rate = 0"):
        pack(sources, read, folder, SETTINGS, tmp_path / "t", seed=0, processes=1)
    report = pack(
        sources, read, folder, TokensSettings(fim_rate=0), tmp_path / "t", seed=0, processes=1
    )
    assert report.splits["train"].fim_files == 0


def test_killed_and_run_again_it_is_whole(sources, tokenizer_folder, tmp_path):
    whole, out = tmp_path / "whole", tmp_path / "killed"
    pack(sources, read, tokenizer_folder, SETTINGS, whole, seed=0, processes=1)
    script = tmp_path / "slow.py"
    script.write_text(
        "import pickle, sys, time\nfrom pathlib import Path\n"
        "from codekiln.tokens.pack import pack\n"
        "from codekiln.tokens.settings import TokensSettings\n"
        "def read(path, split):\n"
        "    for s, d in pickle.loads(path.read_bytes()):\n"
        "        if s == split:\n            time.sleep(0.02); yield d\n"
        "a, b, c = map(Path, sys.argv[1:])\n"
        "pack(sorted(a.glob('*.parquet')), read, b, TokensSettings(), c, seed=0, processes=1)\n"
    )
    arguments = [sources[0].parent, tokenizer_folder, out]
    process = subprocess.Popen([sys.executable, script, *map(str, arguments)])
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:  # the first file is done, a later one under way
        if (out / "train-00000.json").exists() and any(out.glob(".train-00001*.tmp/*")):
            break
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert any(out.glob(".*.tmp"))
    assert not (out / "report.json").exists()
    report = pack(sources, read, tokenizer_folder, SETTINGS, out, seed=0, processes=1)
    assert report.resumed >= 1 and report.packed >= 1
    assert contents(out) == contents(whole)


def test_progress_counts_all_bytes(sources, tokenizer_folder, tmp_path, monkeypatch):
    shown = []

    class Recorder(pack_module.Progress):
        def close(self):
            shown.append((self.done, self.note))

    monkeypatch.setattr(pack_module, "Progress", Recorder)
    report = pack(sources, read, tokenizer_folder, SETTINGS, tmp_path / "t", seed=0, processes=1)
    [(done, note)] = shown
    assert done == sum(split.bytes for split in report.splits.values())
    assert "tokens/s" in note


class Stopped(BaseException):
    pass


@pytest.mark.parametrize("suffix", [".bin", ".idx", ".bytes.npy", ".sources.npy", ".json"])
@pytest.mark.parametrize("other", [{"fim_rate": 0.0}, {"fim_order": "spm"}])  # spm: equal sizes
def test_back_to_old_settings_after_a_run_cut_off(
    sources, tokenizer_folder, tmp_path, monkeypatch, suffix, other
):
    """Cut off once some of a shard's files are in place, before it is recorded."""
    out = tmp_path / "tokens"

    def run(settings=SETTINGS):
        return pack(sources, read, tokenizer_folder, settings, out, seed=0, processes=1)

    run()
    before = contents(out)
    real = storage._replace

    def stopping(piece, target, **more):
        real(piece, target, **more)
        if target.name == f"train-00000{suffix}":
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(storage, "_replace", stopping)
        with pytest.raises(Stopped):
            run(TokensSettings(**other))
    assert contents(out) != before
    run()
    assert contents(out) == before


def test_a_shard_whose_files_do_not_fit_is_packed_again(sources, tokenizer_folder, tmp_path):
    """The manifest alone would call all of these done."""
    out, other = tmp_path / "tokens", tmp_path / "other"
    plain = TokensSettings(fim_rate=0.0)
    pack(sources, read, tokenizer_folder, plain, other, seed=0, processes=1)

    def run():
        return pack(sources, read, tokenizer_folder, SETTINGS, out, seed=0, processes=1).packed

    run()
    before = contents(out)
    names = ["train-00001.bin", "train-00001.idx", "train-00001.json"]
    for taken in (names[:1], names[:2], names[2:], names):
        for name in taken:
            (out / name).write_bytes((other / name).read_bytes())
        assert run() == 1
        assert contents(out) == before
    assert run() == 0


def test_a_second_packing_is_kept_out(sources, tokenizer_folder, tmp_path):
    out = tmp_path / "tokens"
    with storage.only_one(out), pytest.raises(UserError, match="another process") as caught:
        pack(sources, read, tokenizer_folder, SETTINGS, out, seed=0, processes=1)
    assert caught.value.where == str(out)


def test_workers_die_with_their_parent(sources, tokenizer_folder, tmp_path):
    script = tmp_path / "endless.py"
    script.write_text(
        "import os, sys, time\nfrom pathlib import Path\n"
        "from codekiln.tokens import pack as module\n"
        "from codekiln.tokens.settings import TokensSettings\n"
        "def read(path, split):\n"
        "    (path.parent / f'{os.getpid()}.worker').touch()\n"
        "    while True:\n        time.sleep(0.02)\n        yield from ()\n"
        "if __name__ == '__main__':\n"
        "    module._WORTH_PROCESSES_BYTES = 0\n"
        "    a, b, c = map(Path, sys.argv[1:])\n"
        "    sources = sorted(a.glob('*.parquet'))\n"
        "    module.pack(sources, read, b, TokensSettings(), c, seed=0, processes=2)\n"
    )
    folder = sources[0].parent
    arguments = [folder, tokenizer_folder, tmp_path / "out"]
    process = subprocess.Popen([sys.executable, script, *map(str, arguments)])
    deadline = time.monotonic() + 60
    while len(workers := list(folder.glob("*.worker"))) < 2:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    pids = [int(path.stem) for path in workers]
    assert process.pid not in pids
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline, "workers outlive the packing"
        time.sleep(0.1)


def test_packing_imports_no_torch():
    code = "import sys, codekiln.tokens.pack; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
