"""A store holds what was appended, refuses what does not belong, and reads without loading."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import workbench
from steering import Add
from workbench.activations import ActivationSet, ActivationStore, capture, capture_to_store
from workbench.errors import ArtifactError, DataError, RunError, SiteError
from workbench.models.tiny import tiny_model
from workbench.sites import Site

ROOT = Path(workbench.__path__[0]).parent


def part(rows, start=0, **changes):
    numbers = torch.arange(start, start + rows, dtype=torch.float32)
    labels = {"n": numbers.int().tolist(), "word": [f"w{int(n)}" for n in numbers]}
    arguments = {"labels": labels, "groups": numbers.int() // 2, "fingerprint": "f1"} | changes
    return ActivationSet({Site(1): numbers[:, None] * torch.ones(3), Site(2): -numbers[:, None].half()}, **arguments)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A store of shards of 3, 1, 0 and 4 rows; row n holds n."""
    with ActivationStore(tmp_path_factory.mktemp("store") / "s") as store:
        for start, rows in ((0, 3), (3, 1), (4, 0), (4, 4)):
            store.append(part(rows, start))
    return ActivationStore(store.path)


def assert_same_store(one, two):
    files = [
        sorted(p.relative_to(s.path) for p in s.path.rglob("*") if p.is_file() and p.name != ".lock")
        for s in (one, two)
    ]
    assert files[0] == files[1]
    for file in files[0]:
        assert (one.path / file).read_bytes() == (two.path / file).read_bytes(), file


def test_store_gives_back_all_rows_in_order(filled):
    assert len(filled) == 8
    assert filled.sites == (Site(1), Site(2))
    assert filled.labels["word"].tolist() == [f"w{n}" for n in range(8)]
    assert filled.groups.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    whole = filled.to_set()
    assert whole[1][:, 2].tolist() == list(range(8))
    assert whole[2].dtype == torch.float16
    assert whole.fingerprint == "f1"
    assert [len(shard) for shard in filled] == [3, 1, 0, 4]
    assert torch.equal(ActivationSet.concatenate(list(filled.shards()))[1], whole[1])
    assert filled.to_set(rows=[7, 2]).labels["n"].tolist() == [7, 2]


@given(st.lists(st.integers(-8, 7), max_size=12))
def test_any_rows_are_those_of_the_whole(filled, rows):
    assert filled.read(1, rows)[:, 0].tolist() == np.arange(8.0)[np.array(rows, dtype=int)].tolist()


@given(st.tuples(*[st.integers(-10, 10) | st.none()] * 2, st.sampled_from([None, 1, 2, -1, -3])))
def test_any_slice_is_that_of_the_whole(filled, ends):
    assert filled.read(2, slice(*ends))[:, 0].tolist() == (-np.arange(8.0))[slice(*ends)].tolist()


def test_what_is_not_there_is_an_error(filled, tmp_path):
    with pytest.raises(SiteError, match=r"blocks\.5\.hook_resid_post is not in"):
        filled.read(5)
    with pytest.raises(DataError, match="row 8 does not exist"):
        filled.read(1, [8])
    with pytest.raises(DataError, match="there are no activations"):
        ActivationStore(tmp_path).to_set()
    assert len(ActivationStore(tmp_path)) == 0


def test_reading_writes_nothing_and_changing_what_was_read_does_not_change_the_file(filled):
    before = {p: p.stat().st_mtime_ns for p in filled.path.rglob("*")}
    next(iter(filled.shards()))[1].fill_(99)
    assert filled.read(1)[0, 0] == 0
    assert {p: p.stat().st_mtime_ns for p in filled.path.rglob("*")} == before


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (part(1, fingerprint="f2"), "fingerprint f2, not f1"),
        (part(1, basis="folded"), "basis folded, not raw"),
        (part(1, labels={"m": [0]}), r"columns \['m'\]"),
        (ActivationSet({Site(1): torch.ones(1, 3)}, fingerprint="f1"), "sites"),
        (
            ActivationSet({Site(1): torch.ones(1, 3).half(), Site(2): torch.ones(1, 1).half()}, fingerprint="f1"),
            "sites",
        ),
    ],
)
def test_rows_of_another_kind_are_refused(filled, tmp_path, other, said):
    with ActivationStore(tmp_path) as store:
        store.append(part(2))
        with pytest.raises(ArtifactError, match=said):
            store.append(other)
    assert len(ActivationStore(tmp_path)) == 2


def test_second_writer_is_refused_until_the_first_closes(tmp_path):
    first, second = ActivationStore(tmp_path), ActivationStore(tmp_path)
    first.append(part(2))
    with pytest.raises(RunError, match=f"is in use by process {os.getpid()}"):
        second.append(part(2, 2))
    code = (
        "import sys, torch; from workbench.activations import *; from workbench.sites import Site\n"
        "ActivationStore(sys.argv[1]).append(ActivationSet({Site(1): torch.ones(1, 3)}))"
    )
    other = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert f"RunError: {tmp_path} is in use by process {os.getpid()}" in other.stderr
    first.close()
    second.append(part(2, 2))  # and it sees what the first wrote
    assert ActivationStore(tmp_path).labels["n"].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["000001.safetensors", "000001.parquet", "manifest.json"])
def test_full_disk_is_one_line_and_loses_only_the_shard_in_hand(tmp_path, monkeypatch, name):
    replace = os.replace

    def full(old, new):
        if new.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(old, new)

    with ActivationStore(tmp_path) as store:
        store.append(part(2))
        with monkeypatch.context() as patch, pytest.raises(RunError, match="the disk is full") as caught:
            patch.setattr(os, "replace", full)
            store.append(part(2, 2))
        assert "\n" not in str(caught.value)
        assert len(store) == len(store.to_set()) == len(ActivationStore(tmp_path).to_set()) == 2
        store.append(part(2, 2))
    assert ActivationStore(tmp_path).read(1)[:, 0].tolist() == [0, 1, 2, 3]
    assert not list(tmp_path.rglob("*.tmp"))


def test_disk_that_fills_while_tensors_are_written_is_a_full_disk(tmp_path, monkeypatch):
    import safetensors.torch

    def full(_tensors, path, _metadata):
        Path(path).write_bytes(b"part")
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with ActivationStore(tmp_path) as store:
        with monkeypatch.context() as patch, pytest.raises(RunError, match="the disk is full"):
            patch.setattr(safetensors.torch, "save_file", full)
            store.append(part(2))
        store.append(part(2))
    assert len(ActivationStore(tmp_path).to_set()) == 2
    assert not list(tmp_path.rglob("*.tmp"))


# ---- capture into a store


@pytest.fixture
def ask(model, texts):
    """Capture the texts into a folder, in shards of 7."""

    def run(path, **changes):
        arguments = {"positions": [-1, 0], "labels": {"word": list(texts)}, "store": path, "shard_inputs": 7}
        return capture_to_store(
            changes.pop("model", model), changes.pop("inputs", texts), **{"sites": [1, 2]} | arguments | changes
        )

    return run


def test_streamed_capture_equals_one_in_memory(ask, tmp_path, model, texts):
    store, memory = ask(tmp_path), capture(model, texts, [1, 2], [-1, 0], labels={"word": list(texts)})
    assert [shard.rows for shard in store.manifest.shards] == [14] * 5 + [10]
    for site in memory.sites:
        assert torch.allclose(store.read(site), memory[site], atol=1e-5)
    pd.testing.assert_frame_equal(store.labels, memory.labels)
    assert store.groups.tolist() == memory.groups.tolist()
    assert not store._lock.held


def test_shards_are_cut_by_bytes_too(ask, tmp_path, monkeypatch, model):
    monkeypatch.setattr(sys.modules["workbench.activations.capturing"], "_SHARD_BYTES", 2 * 2 * 32 * 4 * 3)
    assert {shard.rows for shard in ask(tmp_path).manifest.shards} == {6, 2}


def test_interrupted_capture_goes_on_where_it_was_and_ends_with_the_same_bits(ask, tmp_path, model, monkeypatch):
    whole = ask(tmp_path / "whole")
    forward, calls, fatal = type(model).forward, [], 9

    def failing(self, prompts, *args, **kwargs):
        calls.append(len(prompts))
        if len(calls) == fatal:
            raise KeyboardInterrupt
        return forward(self, prompts, *args, **kwargs)

    monkeypatch.setattr(type(model), "forward", failing)
    with pytest.raises(KeyboardInterrupt):
        ask(tmp_path / "cut", batch_tokens=60)
    done = len(ActivationStore(tmp_path / "cut")) // 2
    assert 0 < done < 40
    calls.clear()
    fatal = 0
    resumed = ask(tmp_path / "cut")  # not told the batch size: it takes the first session's
    assert sum(calls) == 40 - done
    assert_same_store(resumed, ask(tmp_path / "undisturbed", batch_tokens=60))
    calls.clear()
    ask(tmp_path / "cut")
    assert calls == []
    assert whole.labels.equals(resumed.labels)


@pytest.mark.parametrize("kind", ["safetensors", "parquet"])
@pytest.mark.parametrize("how", ["lost", "damaged"])
def test_the_same_capture_makes_a_lost_or_damaged_shard_anew_and_no_other(ask, tmp_path, model, monkeypatch, kind, how):
    whole, store = ask(tmp_path / "whole"), ask(tmp_path / "store")
    file = store.path / "shards" / f"000002.{kind}"
    data = file.read_bytes()
    file.unlink() if how == "lost" else file.write_bytes(data[:-9] + bytes([data[-9] ^ 4]) + data[-8:])
    assert list(ActivationStore(store.path).broken()) == [2]
    forward, ran = type(model).forward, []

    def counted(self, prompts, *args, **kwargs):
        ran.append(len(prompts))
        return forward(self, prompts, *args, **kwargs)

    monkeypatch.setattr(type(model), "forward", counted)
    again = ask(store.path)
    assert sum(ran) == 7 and not again.broken()
    assert_same_store(again, whole)


def test_sizes_given_when_resuming_hold_over_those_of_the_first_session(ask, tmp_path, texts, poison, model):
    with pytest.raises(DataError):
        ask(tmp_path, positions="all", interventions=[poison(20)])  # stops in the third shard of 7
    sizes = [shard.stop - shard.first for shard in ActivationStore(tmp_path).manifest.shards]
    with pytest.raises(DataError):
        ask(tmp_path, positions="all", interventions=[poison(20)], shard_inputs=3, batch_tokens=40)
    assert sizes == [7, 7]
    assert [shard.stop - shard.first for shard in ActivationStore(tmp_path).manifest.shards] == [7, 7, 3, 3]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": tiny_model(seed=1)}, "fingerprint"),
        ({"sites": [1]}, "sites"),
        ({"positions": "last"}, "positions"),
        ({"dtype": "float16"}, "dtype"),
        ({"inputs": ["a"] * 40}, "inputs_hash"),
        ({"labels": {"word": ["x"] * 40}}, "labels_hash"),
        ({"groups": ["x"] * 40}, "labels_hash"),
        ({"interventions": [Add(torch.ones(32), site=1)]}, "interventions"),
    ],
)
def test_store_of_another_request_is_refused(ask, tmp_path, changes, said):
    ask(tmp_path)
    with pytest.raises(ArtifactError, match=f"belongs to another capture: {said} is ") as caught:
        ask(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_a_store_without_a_folder_is_refused_before_anything_is_read(ask, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="a store must be the name of a file or folder, not ''"):
        ask("")
    assert not list(tmp_path.iterdir())


def test_capture_and_append_do_not_share_a_store(ask, tmp_path):
    captured = ask(tmp_path / "captured")
    with pytest.raises(ArtifactError, match="made by capture_to_store"):
        captured.append(captured.to_set())
    captured.close()
    with ActivationStore(tmp_path / "by hand") as store:
        store.append(part(2))
    with pytest.raises(ArtifactError, match="of another origin than capture_to_store"):
        ask(tmp_path / "by hand")


def test_streamed_nan_is_refused_by_row_and_what_was_stored_stays(ask, tmp_path, poison):
    with pytest.raises(DataError, match=r"not finite at row \d+ \(input 20, position"):
        ask(tmp_path, interventions=[poison(20)])
    assert len(ActivationStore(tmp_path).to_set()) == 28
    assert json.loads((tmp_path / "manifest.json").read_text())["shards"][-1]["stop"] == 14
