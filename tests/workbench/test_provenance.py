"""The record says what ran, and is plain JSON."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest

import workbench.provenance as module
from workbench.provenance import provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A git checkout with one commit, that the record takes for ours."""
    for command in (
        ["init", "-q"],
        ["-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-q", "--allow-empty", "-m", "first"],
    ):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setattr(module, "_SOURCE", tmp_path)
    return tmp_path


def test_record_is_json_and_says_when_where_and_with_what():
    before = datetime.now(UTC).replace(microsecond=0)
    record = json.loads(json.dumps(provenance()))
    assert before <= datetime.fromisoformat(record["started"]) <= datetime.now(UTC)
    assert record["versions"]["numpy"] == np.__version__
    assert record["versions"]["python"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    assert record["command"] == sys.argv
    assert record["machine"]["cpus"] >= 1
    assert record["model"] is None
    assert record["seeds"] is None


def test_model_is_named_with_fingerprint_backend_and_dtype():
    model = SimpleNamespace(name="bandit-agent", fingerprint="ab12", backend_name="hf", dtype="torch.float32")
    assert provenance(model)["model"] == {
        "name": "bandit-agent",
        "fingerprint": "ab12",
        "backend": "hf",
        "dtype": "float32",
    }


@pytest.mark.parametrize(
    ("seeds", "written"), [(3, [3]), ([1, 2], [1, 2]), (range(2), [0, 1]), (np.arange(2), [0, 1]), (np.int64(4), [4])]
)
def test_seeds_are_written_as_a_list_of_numbers(seeds, written):
    assert json.loads(json.dumps(provenance(seeds=seeds)))["seeds"] == written


def test_clean_checkout_gives_its_commit_and_is_not_dirty(checkout):
    head = subprocess.run(["git", "-C", str(checkout), "rev-parse", "HEAD"], capture_output=True, text=True).stdout
    assert provenance()["git"] == {"commit": head.strip(), "dirty": False}


def test_changed_checkout_is_dirty(checkout):
    (checkout / "new.py").write_text("x = 1")
    assert provenance()["git"]["dirty"] is True


def test_git_variables_of_a_hook_do_not_lead_elsewhere(checkout, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert provenance()["git"]["dirty"] is False


def test_installed_wheel_has_no_commit_even_inside_someone_elses_checkout(checkout, monkeypatch):
    inside = checkout / "venv" / "site-packages"
    inside.mkdir(parents=True)
    monkeypatch.setattr(module, "_SOURCE", inside)
    assert provenance()["git"] is None


def test_no_git_program_means_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance()["git"] is None


def test_record_imports_nothing_heavy():
    code = (
        "import sys; from workbench.provenance import provenance; r = provenance();"
        "assert 'torch_threads' not in r['machine'];"
        "assert not {'torch', 'transformers', 'pandas', 'pyarrow'} & set(sys.modules), sorted(sys.modules)"
    )
    root = module.Path(module.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_torch_threads_and_gpus_are_recorded_once_torch_is_in_use():
    torch = pytest.importorskip("torch")
    machine = provenance()["machine"]
    assert machine["torch_threads"] == torch.get_num_threads()
    assert len(machine["gpus"]) == torch.cuda.device_count()
