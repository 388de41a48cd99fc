"""Names that steer a terminal: whoever names a file may write escapes, line breaks and bidirectional marks into it.

Whatever a command does with such a file, what it prints is text; and in pages and records the name is a value.
"""

from __future__ import annotations

import html
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from commands.shared.terminal import tell_json
from music.midi import write_midi
from music.text import printable
from tests.test_cli import Ran, contraste, tune

NAME = "x\x1b[2J\x1b]0;t\x07\nok \u202egnp\x85\x9b2K<script>alert(1)</script>"
"""An escape sequence, a title, a line break, a mark that turns the text, C1 controls, and markup."""


def shown(ran: Ran) -> Ran:
    """Return what was printed, when all of it is printable."""
    for line in (ran.out + ran.err).split("\n"):
        assert line.isprintable(), (line, ran)
    return ran


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a source, a store, keys and a track, each named as a stranger would."""
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONTRASTE_PASSWORD", "secret")
    monkeypatch.chdir(tmp_path)
    for folder in (source := tmp_path / "src", tracks := tmp_path / "tracks"):
        folder.mkdir()
    for number in range(3):
        write_midi(tune(number), source / f"{number}{NAME.replace('/', '_')}.mid")
    write_midi(tune(1), tracks / f"{NAME.replace('/', '_')}.mid")
    (source / f"broken{NAME.replace('/', '_')}.mid").write_bytes(b"MThd")
    (source / f"link{NAME.replace('/', '_')}.mid").symlink_to("/etc/passwd")
    return tmp_path


def test_hostile_names_are_text_in_every_command(world: Path) -> None:
    name = NAME.replace("/", "_")
    track, store = world / "tracks" / f"{name}.mid", world / f"store{name}"
    ran = shown(contraste("ingest", world / "src", "--into", store))
    assert printable(f"broken{name}.mid") in ran.err
    shown(contraste("keys", "new", world / f"keys{name}"))
    shown(contraste("keys", "list"))
    ran = shown(contraste("search", store, world / "tracks"))
    assert printable(track.name) in ran.out
    shown(contraste("search", store, track, "--jsonl", world / "found.jsonl"))
    shown(contraste("originality", store, world / "tracks", "--out", world / "originality"))
    shown(contraste("compare", track, world / "src" / f"1{name}.mid"))
    ran = shown(contraste("contribution", "add", track, "--kind", "edit", "--text", NAME, "--author", NAME))
    assert ran.code == 0, ran
    ran = shown(contraste("contribution", "list", track))
    assert len(ran.out.splitlines()) == 1
    ran = shown(contraste("sign", track, "--key", world / f"keys{name}", "--no-credential"))
    assert (ran.code, ran.out) == (0, printable(f"{track}.sig") + "\n")
    shown(contraste("ledger", "show", track))
    shown(contraste("ledger", "log"))
    key, out = world / f"keys{name}", world / f"reports{name}"
    ran = shown(contraste("audit", world / "tracks", "--store", store, "--out", out, "--sign-key", key,
                          "--format", "html,json,sarif,junit,md"))  # fmt: skip
    assert ran.code != 2, ran
    folder = out / track.stem if (out / track.stem).is_dir() else out
    reports = [path for path in out.rglob("report.json")]
    assert len(reports) == 1
    shown(contraste("report", "verify", out))
    shown(contraste("report", "diff", out, out))
    for short in ((), ("--short",), ("--json",)):
        shown(contraste("verify", track, reports[0], store, *short))
    said = json.loads(contraste("verify", track, "--json").out)
    assert said[0]["path"] == str(track)
    (store / f"strange{name}").write_bytes(b"x")
    shown(contraste("verify", store))
    shown(contraste("export", store, "--format", "croissant", "--out", world / "c.json"))
    shown(contraste("policy", "check", world / f"{name}.toml"))
    shown(contraste("verify", world / f"none{name}"))
    assert folder.exists()


def test_hostile_names_are_text_in_every_page(world: Path) -> None:
    name = NAME.replace("/", "_")
    (world / "tracks" / "second.mid").write_bytes((world / "src" / f"2{name}.mid").read_bytes())
    shown(contraste("ingest", world / "src", "--into", world / "store"))
    out = world / "reports"
    shown(contraste("audit", world / "tracks", "--store", world / "store", "--out", out,
                    "--format", "html,json,sarif,junit,md"))  # fmt: skip
    shown(contraste("originality", world / "store", world / "tracks", "--out", out))
    pages = sorted(out.rglob("*.html"))
    assert {page.name for page in pages} == {"index.html", "originality.html", "report.html"}
    for page in pages:
        text = page.read_text("utf-8")
        assert "<script>alert(1)" not in text, page
        assert not set("\x1b\x07\x85\x9b\u202e") & set(text), page
        assert "alert(1)" in html.unescape(text) or page.parent.name == "second", page
    for file in out.rglob("*"):
        if file.suffix in (".sarif", ".json"):
            json.loads(file.read_bytes())
            assert b"\x1b" not in file.read_bytes(), file
        if file.suffix == ".xml":
            ElementTree.fromstring(file.read_bytes())
        if file.suffix == ".md":
            text = file.read_text("utf-8")
            assert not set("\x1b\x07\x85\x9b\u202e") & set(text), file
            assert "<script>" not in text, file


@pytest.mark.parametrize("words", [("-\x1b[2J",), (NAME,), ("verify", f"--{NAME}"), ("keys", NAME)])
def test_complaints_about_usage_show_what_was_typed_as_text(words: tuple[str, ...]) -> None:
    ran = shown(contraste(*words))
    assert ran.code == 2
    assert "\\x1b" in ran.err


@pytest.mark.parametrize("text", ["\x7f", "\x1b\n", "\u202e", "\U000e0041", "\ud800", chr(0xDCFF), "é😀", '"\\'])
def test_json_on_a_terminal_is_text_and_means_the_same(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    tell_json({text: [text]})
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.split("\n"))
    assert json.loads(out) == {text: [text]}
