"""A capture killed at any moment leaves a readable store, and ends as if it had been left alone, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import workbench
from workbench.activations import ActivationStore

ROOT = Path(workbench.__path__[0]).parent
# A process that imports once and forks a writer for each line "folder kill_at" it reads; it answers with the writer's
# pid and then its exit code.  With kill_at > 0 the writer kills itself as it enters that sync or rename; with -1 it
# goes slowly, to be killed from outside.
SERVER = """
import os, signal, sys, time
import pyarrow.parquet, safetensors.torch
from workbench.activations import capture_to_store
from workbench.models.tiny import tiny_model

model = tiny_model()
texts = [" ".join("abcdefghijklmnopqrstuvwxyz"[: 1 + (7 * i) % 25]) for i in range(60)]

def deadly(function, kill_at, calls):
    def call(*arguments):
        calls.append(0)
        time.sleep(0.002 * (kill_at < 0))
        if len(calls) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call

def work(path, kill_at):
    calls = []
    os.fsync, os.replace = (deadly(function, kill_at, calls) for function in (os.fsync, os.replace))
    capture_to_store(model, texts, [1, 2], [-1, 0], labels={"text": texts}, store=path, shard_inputs=3)

for line in sys.stdin:
    path, kill_at = line.rsplit(" ", 1)
    child = os.fork()
    if child == 0:
        try:
            work(path, int(kill_at))
            os._exit(0)
        finally:
            os._exit(1)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Server:
    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def start(self, path: Path, kill_at: int = 0) -> int:
        """Start a writer on ``path``; returns its pid.  :meth:`code` then waits for it."""
        self.process.stdin.write(f"{path} {kill_at}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def code(self) -> int:
        return int(self.process.stdout.readline())

    def run(self, path: Path, kill_at: int = 0) -> int:
        self.start(path, kill_at)
        return self.code()


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.process.communicate()


@pytest.fixture(scope="module")
def undisturbed(server, tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed") / "store"
    assert server.run(path) == 0
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


def test_capture_killed_inside_any_write_of_a_shard_loses_that_shard_only(tmp_path, server, undisturbed):
    stored = []
    for kill_at in range(1, 24):
        path = tmp_path / str(kill_at)
        assert server.run(path, kill_at) == -signal.SIGKILL
        stored.append(readable_rows(path, undisturbed))
    assert stored == sorted(stored)
    assert set(stored) == {0, 6, 12}
    for kill_at in (3, 9, 17, 23):
        assert server.run(tmp_path / str(kill_at)) == 0
        assert_same_files(tmp_path / str(kill_at), undisturbed)


def test_capture_killed_from_outside_again_and_again_equals_an_undisturbed_one(tmp_path, server, undisturbed):
    moments, path, rows = random.Random(1), tmp_path / "store", 0
    for _ in range(4):
        child = server.start(path, kill_at=-1)
        patience = time.monotonic() + 60
        while len(ActivationStore(path)) <= rows and time.monotonic() < patience:
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        assert server.code() == -signal.SIGKILL, "the capture was done before it was killed: give it more inputs"
        rows = readable_rows(path, undisturbed)
    assert 0 < rows < len(undisturbed)
    assert server.run(path) == 0
    assert_same_files(path, undisturbed)
