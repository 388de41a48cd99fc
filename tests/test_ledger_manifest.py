"""Manifests of folders."""

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.errors import Malformed, PathRefused
from ledger.hashes import digest, hashcache
from ledger.hashes import manifest as manifest_module
from ledger.hashes.digest import Digest, hash_bytes
from ledger.hashes.hashcache import HashCache
from ledger.hashes.manifest import FILES, Manifest, ManifestDiff, Method, find_ignored


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "store"
    (root / "a" / "empty").mkdir(parents=True)
    (root / "b.txt").write_bytes(b"b")
    (root / "a" / "z.txt").write_bytes(b"z")
    (root / "a.txt").write_bytes(b"a")
    (root / ".hidden").write_bytes(b"h")
    return root


def test_names_are_sorted_posix_paths_and_the_root_is_hand_worked(folder: Path) -> None:
    manifest = Manifest.of_path(folder)
    # Names are compared part by part, as the reference implementation does: the part "a" comes before "a.txt".
    assert list(manifest.files) == [".hidden", "a/z.txt", "a.txt", "b.txt"]
    by_hand = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in (b"h", b"z", b"a", b"b")))
    assert manifest.root == Digest("sha256", by_hand.digest())


def test_diff_names_every_change(folder: Path) -> None:
    before = Manifest.of_path(folder)
    assert not before.diff(before)
    (folder / "b.txt").write_bytes(b"B")
    (folder / "a.txt").rename(folder / "c.txt")
    diff = before.diff(Manifest.of_path(folder))
    assert diff == ManifestDiff(missing=("a.txt",), extra=("c.txt",), changed=("b.txt",))
    assert str(diff) == "changed b.txt; missing a.txt; extra c.txt"


def test_a_long_diff_is_cut() -> None:
    diff = ManifestDiff(missing=tuple(f"f{n}" for n in range(10)))
    assert str(diff) == "missing f0, f1, f2 and 7 more"


def test_swapped_contents_change_the_root(folder: Path) -> None:
    before = Manifest.of_path(folder)
    (folder / "a.txt").write_bytes(b"b")
    (folder / "b.txt").write_bytes(b"a")
    assert Manifest.of_path(folder).root != before.root


@pytest.mark.parametrize("make", ["link", "dangling", "pipe"])
def test_what_is_not_a_file_or_folder_is_refused_by_name(folder: Path, make: str) -> None:
    odd = folder / "a" / "odd"
    if make == "pipe":
        os.mkfifo(odd)
    else:
        odd.symlink_to(folder / ("b.txt" if make == "link" else "nowhere"))
    with pytest.raises(PathRefused, match=r"a/odd is (a symlink|neither)"):
        Manifest.of_path(folder)


def test_a_name_that_is_not_utf8_is_refused(folder: Path) -> None:
    with open(os.fsencode(folder) + b"/\xff.mid", "wb"):
        pass
    with pytest.raises(PathRefused, match="not UTF-8"):
        Manifest.of_path(folder)


def test_empty_absent_and_linked_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing" / "inside").mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder)
    for name, message in (("nothing", "no files"), ("absent", "no such file"), ("link", "is a symlink")):
        with pytest.raises(PathRefused, match=message):
            Manifest.of_path(tmp_path / name)


@pytest.mark.parametrize("name", ["", "/a", "a//b", "./a", "a/..", "../a", "a/", "a\0b", "\udcff", 5])
def test_names_outside_the_folder_are_refused(name: Any) -> None:
    with pytest.raises(Malformed, match=r"not a relative POSIX path|not UTF-8"):
        Manifest({name: hash_bytes(b"")})


def test_a_file_is_one_resource(folder: Path) -> None:
    manifest = Manifest.of_path(folder / "b.txt")
    assert manifest.files == {".": hash_bytes(b"b")}
    assert manifest.root.value == hashlib.sha256(hash_bytes(b"b").value).digest()


def test_shards_are_hand_worked_sorted_by_offset_and_leave_empty_files_out(tmp_path: Path) -> None:
    data = bytes(range(25))
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "empty").write_bytes(b"")
    manifest = Manifest.of_path(tmp_path, Method(2))
    names = [f"a:{at}:{min(at + 2, 25)}" for at in range(0, 25, 2)]
    assert list(manifest.files) == names  # by number: a:2:4 before a:10:12
    assert manifest.files["a:24:25"] == hash_bytes(data[24:])
    assert Manifest.of_path(tmp_path / "a", Method(20)).files == {
        ".:0:20": hash_bytes(data[:20]),
        ".:20:25": hash_bytes(data[20:]),
    }


def test_ignored_names_are_left_out_whole_and_named(folder: Path) -> None:
    method = Method(None, ("a", ".hidden"))
    assert list(Manifest.of_path(folder, method).files) == ["a.txt", "b.txt"]
    assert find_ignored(folder, method.ignored) == [".hidden", "a"]
    assert find_ignored(folder, ()) == find_ignored(folder / "b.txt", ("x",)) == []
    with pytest.raises(Malformed, match="relative POSIX path"):
        Method(None, ("../b",))
    with pytest.raises(Malformed, match="shard_size 0"):
        Method(0)


@pytest.mark.parametrize("name", ["a", "a:0", "a:0:x", "a:00:1", "../a:0:1", "/a:0:1"])
def test_what_is_no_shard_is_refused(name: str) -> None:
    with pytest.raises(Malformed, match=r"name of a shard|relative POSIX"):
        Manifest({name: hash_bytes(b""), "b:0:1": hash_bytes(b"")}, Method(10))


def test_one_name_in_two_unicode_forms_is_refused(tmp_path: Path) -> None:
    for name in ("caf\u00e9", "cafe\u0301"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(PathRefused, match=r"'caf\\xe9' differ only in their Unicode form"):  # they look the same
        Manifest.of_path(tmp_path)


def test_a_file_that_grows_while_it_is_hashed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "log"
    file.write_bytes(b"x" * 100)
    real = digest._hash_range

    def hash_and_write(*words: Any) -> Digest:
        found = real(*words)
        with open(file, "ab") as more:
            more.write(b"y")
        return found

    monkeypatch.setattr(digest, "_hash_range", hash_and_write)
    with pytest.raises(PathRefused, match="log changed while it was hashed"):
        Manifest.of_path(tmp_path)


@pytest.fixture
def cached(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Give a folder that settled, its cache, and a function that says which files a manifest reads."""
    monkeypatch.setattr(hashcache, "SETTLING_NS", 0)
    read = []
    real = digest.hash_file

    def counted(path: Path, start: int = 0, end: int | None = None) -> Digest:
        read.append(path.name)
        return real(path, start, end)

    monkeypatch.setattr(manifest_module, "hash_file", counted)
    cache = HashCache(tmp_path / "home" / "hashes.sqlite")

    def reads(method: Method = FILES, path: Path = folder) -> list[str]:
        read.clear()
        found = Manifest.of_path(path, method, cache)
        names = sorted(read)
        assert found == Manifest.of_path(path, method)
        return names

    assert reads() == [".hidden", "a.txt", "b.txt", "z.txt"]
    return SimpleNamespace(folder=folder, cache=cache, reads=reads)


def test_only_what_changed_is_read_again(cached: SimpleNamespace) -> None:
    assert cached.reads() == []
    (cached.folder / "b.txt").write_bytes(b"B")
    assert cached.reads() == ["b.txt"]
    assert cached.reads() == []
    (cached.folder / "c").write_bytes(b"c")
    (cached.folder / "a.txt").unlink()
    assert cached.reads() == ["c"]
    assert (cached.cache.file.stat().st_mode & 0o777) == 0o600


def test_a_file_given_its_old_time_back_is_read_again(cached: SimpleNamespace) -> None:
    file = cached.folder / "b.txt"
    before = file.stat()
    file.write_bytes(b"X")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size
    assert cached.reads() == ["b.txt"]


def test_shards_and_single_files_are_kept_apart(cached: SimpleNamespace) -> None:
    assert len(cached.reads(Method(1))) == 4
    assert cached.reads(Method(1)) == cached.reads() == []
    assert cached.reads(path=cached.folder / "b.txt") == ["b.txt"]
    assert cached.reads(path=cached.folder / "b.txt") == []


def test_a_damaged_cache_and_a_place_that_cannot_be_written_change_nothing(
    cached: SimpleNamespace, tmp_path: Path
) -> None:
    cached.cache.file.write_bytes(b"no database" * 100)
    assert len(cached.reads()) == 4
    assert cached.reads() == []
    nowhere = HashCache(cached.folder / "b.txt" / "cache")
    assert Manifest.of_path(cached.folder, FILES, nowhere) == Manifest.of_path(cached.folder)


def test_what_was_just_written_is_not_kept(folder: Path, tmp_path: Path) -> None:
    cache = HashCache(tmp_path / "hashes.sqlite")
    Manifest.of_path(folder, FILES, cache)
    assert cache.load(folder) == {}


def test_files_of_git_at_the_top_are_left_out_and_those_further_down_are_not(folder: Path) -> None:
    before = Manifest.of_path(folder)
    for name in (".git/HEAD", ".github/x.yml", ".gitattributes", ".gitignore"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / ".git/link").symlink_to("nowhere")  # what is left out is not looked at
    assert Manifest.of_path(folder) == before
    assert find_ignored(folder, FILES.ignored) == [".git", ".gitattributes", ".github", ".gitignore"]
    (folder / ".gitmodules").write_bytes(b"x")
    (folder / "a/.gitignore").write_bytes(b"x")
    assert before.diff(Manifest.of_path(folder)).extra == (".gitmodules", "a/.gitignore")
