"""Verovio draws in a process of its own: what kills it costs one drawing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from music.notes import MusicError
from music.scores import verovio_process
from music.scores.verovio_process import mei_to_svg

MEI = (
    '<mei xmlns="http://www.music-encoding.org/ns/mei"><music><body><mdiv><score><scoreDef><staffGrp>'
    '<staffDef n="1" lines="5" clef.shape="G" clef.line="2"/></staffGrp></scoreDef><section><measure n="1">'
    '<staff n="1"><layer n="1"><note pname="c" oct="5" dur="1"/></layer></staff></measure></section></score></mdiv>'
    "</body></music></mei>"
)


def test_a_crash_costs_one_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "<svg" in mei_to_svg(MEI, "good")
    child = verovio_process._WORKER._child
    assert child is not None
    os.kill(child.pid, signal.SIGSTOP)  # as in an endless loop
    monkeypatch.setattr(verovio_process, "SECONDS", 0.3)
    with pytest.raises(MusicError, match=r"slow: verovio took longer than 0.3 s"):
        mei_to_svg(MEI, "slow")
    monkeypatch.undo()
    assert "<svg" in mei_to_svg(MEI, "good again")
    child = verovio_process._WORKER._child
    assert child is not None
    os.kill(child.pid, signal.SIGSEGV)
    child.wait()
    assert "<svg" in mei_to_svg(MEI, "a dead child is replaced")


def test_a_child_that_dies_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dying = tmp_path / "verovio_worker.py"
    dying.write_text("import sys\nsys.stdout.write('R')\nsys.stdout.flush()\nsys.stdin.buffer.read(4)\n")
    monkeypatch.setattr(verovio_process, "__file__", str(tmp_path / "verovio_process.py"))
    monkeypatch.setattr(verovio_process, "_WORKER", verovio_process._Worker())
    with pytest.raises(MusicError, match="bad: verovio ended abnormally"):
        mei_to_svg(MEI, "bad")
