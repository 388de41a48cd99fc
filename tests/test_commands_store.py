"""`ingest` as typed: what is refused, and what the store holds after that."""

from __future__ import annotations

import resource
import shutil
from pathlib import Path

import pytest

from tests.cases.command import contraste, done, python, refused
from tests.cases.house import House, tree


def test_ingesting_twice_adds_nothing_and_says_so(house: House) -> None:
    before = tree(house / "store")
    ran = done("ingest", house / "src", "--into", house / "store")
    assert "0 added, 20 already there, 0 refused; 20 pieces in all" in ran.err
    assert ran.out == ""
    assert tree(house / "store") == before


def test_ingest_lists_what_it_refuses_and_keeps_the_rest(house: House, tmp_path: Path) -> None:
    store = shutil.copytree(house / "store", tmp_path / "store")
    ran = contraste("ingest", house / "clean.mid", house / "text.mid", "--into", store)
    assert ran.code == 0, ran
    assert "refused text.mid: " in ran.err
    assert "1 added, 0 already there, 1 refused; 21 pieces in all" in ran.err
    assert contraste("search", store, house / "clean.mid").code == 1


def test_bad_sources_and_places_for_a_store(house: House, tmp_path: Path) -> None:
    refused(contraste("ingest", house / "none", "--into", tmp_path / "a"), 3, "none", "no such file")
    refused(contraste("ingest", house / "empty", "--into", tmp_path / "b"), 3, "the store is empty")
    refused(contraste("ingest", house / "text.txt", "--into", tmp_path / "c"), 3, "the store is empty")
    refused(contraste("ingest", house / "src", "--into", house / "text.txt"), 3, "text.txt", "File exists")
    refused(contraste("ingest", house / "src", "--into", house / "src"), 3, "no store and not empty")
    ran = contraste("ingest", house / "clean.mid", "--into", tmp_path / "d", "--require-rights")
    refused(ran, 3, "the store is empty")
    assert "no licence and consent on file" in ran.err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read"),
        ("title\nx\n", "'path' is needed"),
        ("path,consent\n*,maybe\n", "line 2: consent 'maybe'"),
        ("path,isrc\n*,123\n", "isrc '123' is malformed"),
        ("path\na.mid,b\n", "another number of cells"),
    ],
)
def test_a_bad_rights_file_is_2(house: House, tmp_path: Path, text: str | None, says: str) -> None:
    file = tmp_path / "rights.csv"
    if text is not None:
        file.write_text(text)
    refused(contraste("ingest", house / "src", "--into", tmp_path / "s", "--rights", file), 2, "rights.csv", says)
    assert not (tmp_path / "s").exists()


def test_a_full_disk_leaves_the_store_as_it_was(house: House, tmp_path: Path) -> None:
    store = shutil.copytree(house / "store", tmp_path / "store")
    before = tree(store)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (400, 400))

    ran = python("import cli; cli.main()", "ingest", house / "clean.mid", "--into", store, preexec_fn=limit)
    assert ran.returncode in (2, 3), ran
    assert "Traceback" not in ran.stderr
    assert ran.stderr.startswith("contraste: "), ran
    assert "the store is whole" in ran.stderr
    assert {name: digest for name, digest in tree(store).items() if name in before} == before
    assert contraste("search", store, house / "clean.mid").code == 0
