"""A capture killed at any moment leaves a readable store, and ends as if it had been left alone, bit for bit."""

import random
import signal
from pathlib import Path

import pytest
import torch

from tests.killing import writers
from workbench.activations import ActivationStore

pytestmark = pytest.mark.slow

WORK = """
import pyarrow.parquet, safetensors.torch
from workbench.activations import capture_to_store
from workbench.models.tiny import tiny_model

model = tiny_model()
texts = [" ".join("abcdefghijklmnopqrstuvwxyz"[: 1 + (7 * i) % 25]) for i in range(60)]

def work(path):
    capture_to_store(model, texts, [1, 2], [-1, 0], labels={"text": texts}, store=path, shard_inputs=3)
"""


@pytest.fixture(scope="module")
def capturing():
    with writers(WORK) as capturing:
        yield capturing


@pytest.fixture(scope="module")
def undisturbed(capturing, tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed") / "store"
    assert capturing.run(path) == 0
    return ActivationStore(path)


def assert_same_files(path: Path, undisturbed: ActivationStore) -> None:
    ours, theirs = (
        {file.relative_to(p): file.read_bytes() for file in p.rglob("*") if file.is_file() and file.name != ".lock"}
        for p in (path, undisturbed.path)
    )
    assert ours == theirs


def readable_rows(path: Path, undisturbed: ActivationStore) -> int:
    """How many rows a killed capture stored; they must be the first ones of the undisturbed one."""
    store = ActivationStore(path)
    if len(store):
        found = store.to_set()
        for site in found.sites:
            assert torch.equal(found[site], undisturbed.read(site, slice(len(store))))
        assert found.labels.equals(undisturbed.labels[: len(store)])
    return len(store)


def test_capture_killed_inside_any_write_of_a_shard_loses_that_shard_only(tmp_path, capturing, undisturbed):
    stored = []
    for kill_at in range(1, 24):
        path = tmp_path / str(kill_at)
        assert capturing.run(path, kill_at) == -signal.SIGKILL
        stored.append(readable_rows(path, undisturbed))
    assert stored == sorted(stored)
    assert set(stored) == {0, 6, 12}
    for kill_at in (3, 9, 17, 23):
        assert capturing.run(tmp_path / str(kill_at)) == 0
        assert_same_files(tmp_path / str(kill_at), undisturbed)


def test_capture_killed_from_outside_again_and_again_equals_an_undisturbed_one(tmp_path, capturing, undisturbed):
    moments, path, rows = random.Random(1), tmp_path / "store", 0
    for _ in range(4):
        capturing.kill_when(lambda n=rows: len(ActivationStore(path)) > n, path, later=moments.uniform(0, 0.03))
        rows = readable_rows(path, undisturbed)
    assert 0 < rows < len(undisturbed)
    assert capturing.run(path) == 0
    assert_same_files(path, undisturbed)
