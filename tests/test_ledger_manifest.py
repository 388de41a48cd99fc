"""Manifests of folders."""

import hashlib
import os

import pytest

from ledger.digest import Digest, hash_bytes
from ledger.errors import Malformed, PathRefused
from ledger.manifest import Manifest, ManifestDiff


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "store"
    (root / "a" / "empty").mkdir(parents=True)
    (root / "b.txt").write_bytes(b"b")
    (root / "a" / "z.txt").write_bytes(b"z")
    (root / "a.txt").write_bytes(b"a")
    (root / ".hidden").write_bytes(b"h")
    return root


def test_names_are_sorted_posix_paths_and_the_root_is_hand_worked(folder):
    manifest = Manifest.of_folder(folder)
    # '.' is 0x2e and '/' is 0x2f, so a.txt sorts before a/z.txt.
    assert list(manifest.files) == [".hidden", "a.txt", "a/z.txt", "b.txt"]
    by_hand = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in (b"h", b"a", b"z", b"b")))
    assert manifest.root == Digest("sha256", by_hand.digest())


def test_diff_names_every_change(folder):
    before = Manifest.of_folder(folder)
    assert not before.diff(before)
    (folder / "b.txt").write_bytes(b"B")
    (folder / "a.txt").rename(folder / "c.txt")
    diff = before.diff(Manifest.of_folder(folder))
    assert diff == ManifestDiff(missing=("a.txt",), extra=("c.txt",), changed=("b.txt",))
    assert str(diff) == "changed b.txt; missing a.txt; extra c.txt"


def test_a_long_diff_is_cut():
    diff = ManifestDiff(missing=tuple(f"f{n}" for n in range(10)))
    assert str(diff) == "missing f0, f1, f2 and 7 more"


def test_swapped_contents_change_the_root(folder):
    before = Manifest.of_folder(folder)
    (folder / "a.txt").write_bytes(b"b")
    (folder / "b.txt").write_bytes(b"a")
    assert Manifest.of_folder(folder).root != before.root


@pytest.mark.parametrize("make", ["link", "dangling", "pipe"])
def test_what_is_not_a_file_or_folder_is_refused_by_name(folder, make):
    odd = folder / "a" / "odd"
    if make == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to(folder / ("b.txt" if make == "link" else "nowhere"))
    with pytest.raises(PathRefused, match=r"a/odd is (a symlink|neither)"):
        Manifest.of_folder(folder)


def test_a_name_that_is_not_utf8_is_refused(folder):
    with open(os.fsencode(folder) + b"/\xff.mid", "wb"):
        pass
    with pytest.raises(PathRefused, match="not UTF-8"):
        Manifest.of_folder(folder)


def test_empty_absent_linked_and_plain_files_are_no_folder(folder, tmp_path):
    (tmp_path / "nothing" / "inside").mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    for name, message in (
        ("nothing", "no files"),
        ("absent", "not a folder"),
        ("link", "not a folder"),
        ("store/b.txt", "not a folder"),
    ):
        with pytest.raises(PathRefused, match=message):
            Manifest.of_folder(tmp_path / name)


@pytest.mark.parametrize("name", ["", "/a", "a//b", "./a", "a/..", "../a", "a/", "a\0b", "\udcff", 5])
def test_names_outside_the_folder_are_refused(name):
    with pytest.raises(Malformed, match=r"not a relative POSIX path|not UTF-8"):
        Manifest({name: hash_bytes(b"")})
