"""Whatever happens to the files of a store, it gives what was written or says in one line which file is not that."""

import json
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.activations import ActivationSet, ActivationStore
from workbench.errors import ArtifactError, WorkbenchWarning
from workbench.sites import Site

SHARDS = 3


def part(number, step=None):
    x = torch.arange(4.0)[:, None] + 10 * number + torch.zeros(3)
    labels = {"word": [f"{number}-{row}" for row in range(4)], "step": [number if step is None else step] * 4}
    return ActivationSet({Site(1): x, Site(2): x.bfloat16()}, labels, fingerprint="f", model="tiny")


def fill(path, parts):
    with ActivationStore(path) as store:
        for each in parts:
            store.append(each)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("store") / "s", map(part, range(SHARDS)))


@pytest.fixture(scope="module")
def whole(folder):
    return ActivationStore(folder).to_set()


@pytest.fixture(scope="module")
def files(folder):
    return [folder / "manifest.json", *sorted((folder / "shards").iterdir())]


def assert_right_or_refused(folder, whole):
    try:
        store = ActivationStore(folder)
        found, parts = store.to_set(), list(store)
    except ArtifactError as error:
        assert "\n" not in str(error) and str(folder) in str(error)
        return
    for one in (found, ActivationSet.concatenate(parts)):
        assert one.labels.equals(whole.labels) and one.groups.tolist() == whole.groups.tolist()
        assert all(torch.equal(one[site], whole[site]) for site in whole.sites)
        assert (one.fingerprint, one.model, one.basis) == (whole.fingerprint, whole.model, whole.basis)


@given(st.data())
def test_flipped_and_cut_bytes_of_any_file_are_noticed(folder, whole, files, data):
    file = data.draw(st.sampled_from(files))
    before = file.read_bytes()
    place = data.draw(st.integers(0, len(before) - 1))
    mask = data.draw(st.integers(0, 255))  # 0: the file is cut there
    after = before[:place] + bytes([before[place] ^ mask]) + before[place + 1 :] if mask else before[:place]
    file.write_bytes(after)
    try:
        assert_right_or_refused(folder, whole)
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("kind", ["safetensors", "parquet"])
def test_shards_that_changed_places_are_refused(tmp_path, kind):
    fill(tmp_path, map(part, range(SHARDS)))
    one, other = (tmp_path / "shards" / f"00000{number}.{kind}" for number in (0, 1))
    contents = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(contents)
    with pytest.raises(ArtifactError, match=rf"000000\.{kind} is not what was written there"):
        ActivationStore(tmp_path).to_set()
    assert list(ActivationStore(tmp_path).broken()) == [0, 1]


def test_labels_of_another_schema_are_refused_wherever_labels_are_read(tmp_path):
    ours, other = fill(tmp_path / "ours", [part(0)]), fill(tmp_path / "other", [part(0, step="x")])
    (ours / "shards" / "000000.parquet").write_bytes((other / "shards" / "000000.parquet").read_bytes())
    store = ActivationStore(ours)
    for read in (lambda: store.labels, lambda: store.groups, store.to_set, lambda: store.xy(1, "step")):
        with pytest.raises(ArtifactError, match=r"000000\.parquet is not what was written there"):
            read()
    assert torch.equal(store.read(1), part(0)[1])


def test_one_site_is_read_although_another_is_damaged(tmp_path):
    fill(tmp_path, [part(0)])
    file = tmp_path / "shards" / "000000.safetensors"
    data = file.read_bytes()
    at = data.index(part(0)[1].numpy().tobytes())
    file.write_bytes(data[:at] + b"\1" + data[at + 1 :])
    assert torch.equal(ActivationStore(tmp_path).read(2), part(0)[2])
    with pytest.raises(ArtifactError, match="its checksum differs"):
        ActivationStore(tmp_path).read(1)


def test_a_store_from_before_there_were_checksums_is_read_and_says_that_it_is_unchecked(tmp_path):
    fill(tmp_path, [part(0)])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest.pop("checksum")
    for name in ("tensors", "labels"):
        manifest["shards"][0].pop(name)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.warns(WorkbenchWarning, match="read unchecked"):
        store = ActivationStore(tmp_path)
    with warnings.catch_warnings(action="ignore", category=WorkbenchWarning):
        assert torch.equal(store.to_set()[1], part(0)[1]) and not store.broken()
