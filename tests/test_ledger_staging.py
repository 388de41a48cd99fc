"""Files that are replaced together: after a failure all are as they were, and a killed run leaves nothing for long."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.errors import LedgerError, TimeStampUnavailable
from ledger.hashes import digest
from ledger.hashes.digest import hash_bytes, temporary_file, write_atomic
from ledger.provenance.record import write_record
from ledger.provenance.sign import sign_path
from ledger.signing.keys import key_id
from ledger.signing.log import TransparencyLog
from ledger.signing.trust import Trust
from ledger.staging import Staged
from ledger.verify import verify_path

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = Trust({key_id(KEY.public_key()): KEY.public_key()})


def files(folder):
    return {file.name: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_what_is_staged_is_read_before_it_is_there(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"old")
    staged = Staged()
    staged.put(new, b"new")
    assert (staged.content(old), staged.content(new)) == (None, b"new")
    assert (staged.read(old), staged.read(new)) == (b"old", b"new")
    assert (staged.digest(old), staged.digest(new)) == (hash_bytes(b"old"), hash_bytes(b"new"))
    staged.remove(old)
    staged.remove(tmp_path / "never there")
    assert files(tmp_path) == {"old": b"old"}
    staged.commit()
    assert files(tmp_path) == {"new": b"new"}


@pytest.mark.parametrize("at", ["a", "b", "new", "gone"])
def test_a_failure_in_the_middle_leaves_all_as_it_was(tmp_path, monkeypatch, at):
    for name in ("a", "b", "gone"):
        (tmp_path / name).write_bytes(name.encode())
    staged = Staged()
    for name in ("a", "b", "new"):
        staged.put(tmp_path / name, b"changed")
    staged.remove(tmp_path / "gone")
    replace, unlink = os.replace, Path.unlink

    def failing(true, path, *words, **options):
        target = Path(words[0] if words else path)
        if target.name == at:
            monkeypatch.undo()
            raise OSError(28, "No space left on device", str(target))
        return true(path, *words, **options)

    monkeypatch.setattr(os, "replace", lambda *words: failing(replace, *words))
    monkeypatch.setattr(Path, "unlink", lambda path, **options: failing(unlink, path, **options))
    with pytest.raises(LedgerError, match="No space left on device"):
        staged.commit()
    assert files(tmp_path) == {"a": b"a", "b": b"b", "gone": b"gone"}


@pytest.fixture
def track(tmp_path):
    """Return a signed track whose record, rendering and log changed since in the way of a new signature."""
    path, log = tmp_path / "t.mid", TransparencyLog(tmp_path / "home/log.sqlite")
    path.write_bytes(b"notes")
    write_record(path, "track", parameters={"seed": 1})
    sign_path(path, KEY, log=log)
    return path


FAULTS = {
    "the log can't be written": lambda patch: patch.setattr(
        TransparencyLog, "append", lambda *_: (_ for _ in ()).throw(LedgerError("disk full"))
    ),
    "the disk is full": lambda patch: patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "full"))),
    "a rename fails": lambda patch: patch.setattr(
        os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full", "x"))
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_signature_leaves_the_old_state_valid(track, tmp_path, monkeypatch, fault):
    log = TransparencyLog(tmp_path / "home/log.sqlite")
    before, size = files(track.parent), len(log.entries())
    staged = Staged()
    staged.put(track.with_name("t.mid.c2pa"), b"a new credential")
    with monkeypatch.context() as patch:
        FAULTS[fault](patch)
        with pytest.raises(LedgerError, match="full"):
            sign_path(track, KEY, log=log, staged=staged)
    assert {k: v for k, v in files(track.parent).items() if "sqlite" not in k} == {
        k: v for k, v in before.items() if "sqlite" not in k
    }
    assert len(log.entries()) == size
    assert verify_path(track, KEYS, log=log).verdict == "ok"


def test_an_authority_that_gives_no_time_stamp_leaves_the_old_state_valid(track, tmp_path):
    log = TransparencyLog(tmp_path / "home/log.sqlite")

    def refuse(signature):
        raise TimeStampUnavailable("no time")

    before = track.with_name("t.mid.sig").read_bytes()
    with pytest.raises(TimeStampUnavailable):
        sign_path(track, KEY, log=log, stamp=refuse)
    assert track.with_name("t.mid.sig").read_bytes() == before
    assert verify_path(track, KEYS, log=log).verdict == "ok"


KILLED = """
import sys, time
from pathlib import Path
from ledger import digest
with digest.temporary_file(Path(sys.argv[1]) / "track.wav", b"sound" * 1000) as name:
    print(name, flush=True)
    time.sleep(60)
"""


def test_what_a_killed_run_left_is_removed_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "LITTER_AGE_S", 0)
    monkeypatch.setattr(digest, "_swept", set())
    running = subprocess.Popen([sys.executable, "-c", KILLED, tmp_path], stdout=subprocess.PIPE, text=True)
    litter = Path(running.stdout.readline().strip())
    write_atomic(tmp_path / "other", b"x")
    assert litter.exists()  # in use
    running.kill()
    running.wait()
    monkeypatch.setattr(digest, "_swept", set())
    time.sleep(0.01)
    write_atomic(tmp_path / "other", b"y")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other"]


def test_only_files_of_ours_are_swept(tmp_path, monkeypatch):
    monkeypatch.setattr(digest, "LITTER_AGE_S", -1)
    monkeypatch.setattr(digest, "_swept", set())
    name = f".x.{'0' * 16}{digest.TEMPORARY}"
    kept = [".x.tmp", ".x.1234.contraste-tmp", f"x.{'0' * 16}{digest.TEMPORARY}", f"{name}.bak"]
    for other in kept:
        (tmp_path / other).write_bytes(b"theirs")
    (tmp_path / "target").write_bytes(b"elsewhere")
    (tmp_path / name).symlink_to(tmp_path / "target")
    write_atomic(tmp_path / "y", b"y")
    left = {file.name for file in tmp_path.iterdir()}
    assert {*kept, "target", "y"} <= left
    assert (tmp_path / "target").read_bytes() == b"elsewhere"


def test_nobody_can_guess_the_names_of_temporary_files(tmp_path):
    with temporary_file(tmp_path / "x", b"1") as one, temporary_file(tmp_path / "x", b"2") as two:
        assert one != two
        assert os.stat(one).st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == []
