"""Jobs in processes: order, errors, crashes; engines that can't be used."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

import corpus.ingest
from corpus.ingest import ingest
from corpus.pool import Crashed, EngineError, map_jobs
from corpus.prepare import Refused, prepare
from corpus.store import Store
from music.midi import write_midi
from music.notes import build


def divided(by: int, number: int) -> float:
    if number == 7:
        os._exit(1)
    return by / number


def test_results_come_in_order_and_a_crash_loses_one() -> None:
    found: list[float | Crashed] = []
    with pytest.raises(ZeroDivisionError):  # what the function raises is raised
        found.extend(map_jobs(partial(divided, 2), iter([*range(1, 20), 0]), workers=2))
    assert isinstance(found[6], Crashed)
    assert [x for x in found if not isinstance(x, Crashed)] == [2 / i for i in range(1, 20) if i != 7]


def test_one_worker_is_this_process() -> None:
    assert set(map_jobs(os.getenv, ["CONTRASTE_NONE"], workers=1)) == {None}
    assert list(map_jobs(lambda _: os.getpid(), range(2), workers=1)) == [os.getpid()] * 2


def test_an_unknown_engine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="engine 'dask'; it is one of local, ray"):
        ingest([tmp_path], tmp_path / "store", engine="dask")
    assert not (tmp_path / "store").exists()


def test_without_ray_it_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['ray'] = None; import cli; cli.main()"
    words = ["ingest", str(tmp_path), "--into", str(tmp_path / "store"), "--engine", "ray"]
    command = [sys.executable, "-c", code, *words]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent)
    assert ran.returncode == 2
    assert "pip install contraste[scale]" in ran.stderr
    assert not (tmp_path / "store").exists()


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(EngineError, match=r"Ray at 127\.0\.0\.1:9 can't be used: .*refused"):
        list(map_jobs(str, [1], "ray"))


def deadly(path: Path, *rest: object) -> object:
    """Read as usual, but die on the file that is called so."""
    if path.name == "05.mid":
        os._exit(1)
    return prepare(path, *rest)  # type: ignore[arg-type]


def read_deadly(jobs: list[tuple[Path, ...]]) -> corpus.ingest.Chunk:
    return corpus.ingest._chunk([deadly(*job) for job in jobs])  # type: ignore[misc]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_both_engines_give_the_same_store_and_refuse_what_kills_the_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(20):
        write_midi(build(range(12), [1] * 12, [60 + i + k % 5 for k in range(12)]), tmp_path / "src" / f"{i:02d}.mid")
    monkeypatch.setattr(corpus.ingest, "prepare_chunk", read_deadly)
    for engine in ("local", "ray"):
        report = ingest([tmp_path / "src"], tmp_path / engine, workers=2, engine=engine)
        assert report.added == 19
        assert report.refused == (Refused("05.mid", f"{tmp_path / 'src' / '05.mid'}: the reader crashed on this file"),)
    assert [p.path for p in Store.open(tmp_path / "ray").pieces] == [f"{i:02d}.mid" for i in range(20) if i != 5]
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")
