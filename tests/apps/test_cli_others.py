"""``workbench models``, ``train`` and ``app``."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from apps.cli.main import main
from workbench.models import load_model
from workbench.models.tiny import tiny_model


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of shipped models: a tiny one, and one that cannot be loaded."""
    model = tiny_model("llama")
    model.backend.hf_model.save_pretrained(tmp_path / "tiny")
    model.tokenizer.save_pretrained(tmp_path / "tiny")
    (tmp_path / "wreck").mkdir()
    (tmp_path / "wreck" / "config.json").write_text('{"model_type": "llama"}')
    monkeypatch.setattr("workbench.models.names._SHIPPED", tmp_path)
    return tmp_path


def test_models_lists_shape_size_and_fingerprint_and_goes_on_past_a_broken_one(
    shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    row = next(line.split() for line in out.splitlines() if line.strip().startswith("tiny"))
    assert row[1:4] == ["shipped", "4", "32"] and row[-1] == load_model(str(shipped / "tiny")).fingerprint
    assert "wreck" in out


def test_models_check_prints_the_report_and_its_exit_code_says_whether_it_held(
    shipped: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from workbench.models.report import Report, Row

    assert main(["models", "check", "tiny"]) == 0
    assert "dose 0 equals the unsteered model" in capsys.readouterr().out
    failed = Report("tiny", (Row("logits equal", 1.0, 0.1),))
    monkeypatch.setattr("workbench.models.check.check_backend", lambda model: failed)
    monkeypatch.setattr("workbench.models.check_backend", lambda model: failed, raising=False)
    assert main(["models", "check", "tiny"]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_models_check_of_a_model_that_is_refused_is_a_failed_check_with_its_line(
    shipped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "check", "wreck"]) == 1
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith("the model loads") and "FAILED  ModelError: cannot load 'wreck'" in row


def test_models_check_takes_a_model_that_acts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "check", "pinpad-base"]) == 0
    assert "episodes played step by step equal the reference" in capsys.readouterr().out


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Stands in for training; returns what it was asked for."""
    asked: list[tuple[Any, ...]] = []

    def train(out: Path, preset: str, seed: int, device: str | None, report: Any) -> dict[str, Any]:
        asked.append((out, preset, seed, device))
        for step in range(1, 101):
            report({"step": step, "tokens": 10 * step, "seconds": 1.0, "loss": 0.5, "done": step / 100})
        return {"seconds": 1.5, "parameters": 1234567, "seed": seed}

    monkeypatch.setattr("workbench.worlds.bandits.training.agent.train", train)
    return asked


def test_train_prints_what_it_made_and_a_line_each_twentieth_without_a_terminal(
    trained: list[tuple[Any, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "bandit-agent", "--preset", "smoke", "--seed", "3"]) == 0
    printed = capsys.readouterr()
    assert trained == [(Path("checkpoints/bandit-agent-smoke"), "smoke", 3, None)]
    assert "1,234,567" in printed.out and printed.err.count("loss 0.500") == 21


def test_train_says_that_it_goes_on(
    trained: list[tuple[Any, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "checkpoints" / "first").mkdir(parents=True)
    (tmp_path / "checkpoints" / "first" / "checkpoint.safetensors").write_bytes(b"")
    main(["train", "bandit-agent", "--preset", "smoke", "--out", str(tmp_path)])
    assert "going on from the checkpoint" in capsys.readouterr().err


def test_train_into_a_file_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["train", "bandit-agent", "--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_data_of_a_model_that_has_one_data_set_is_refused(
    trained: list[tuple[Any, ...]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "bandit-agent", "--preset", "smoke", "--data", "b", "--out", str(tmp_path)]) == 2
    assert "one data set" in capsys.readouterr().err and not trained


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the app was asked to serve, and of which runs."""
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setenv("WORKBENCH_RUNS", "elsewhere")
    monkeypatch.setattr(
        "apps.explorer.server.serve", lambda *given: asked.append((*given, os.environ["WORKBENCH_RUNS"]))
    )
    return asked


def test_app_reads_the_runs_asked_for_and_serves_at_the_port(
    tmp_path: Path, served: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert main(["app", "--runs", str(tmp_path), "--port", str(port), "--host", "box.test"]) == 0
    [(script, *rest)] = served
    assert script.name == "main.py" and rest == [port, ("box.test",), str(tmp_path)]
    assert f"http://127.0.0.1:{port} shows the runs in {tmp_path}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "http://box.test", "box.test:80", "a b", "*", "b*x", "box/", "--", "a..b"])
def test_host_that_is_no_name_is_one_line(
    name: str, tmp_path: Path, served: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["app", "--runs", str(tmp_path), f"--host={name}"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1 and not served
