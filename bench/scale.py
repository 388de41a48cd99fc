"""How well and how fast the copy search finds what was copied, in stores of a thousand to 200,000 pieces.

    python bench/scale.py [--pieces 1000,10000,100000,200000] [-n 100] [--cases exact,...] [--work FOLDER]
                          [--corpus FOLDER --hosts FOLDER --negatives FOLDER] [--out docs]

Queries copy from pieces of the corpus in known ways, the same in every store; hosts and negatives are music that
copies nothing from it. Without folders: the Bach chorales of the music21 package, and works of other composers. Stores
are filled up to size with melodies of a Markov chain, learnt from the corpus. A found piece is right when it is the
source, one of its duplicates, or holds the copied intervals note for note.

Each store is measured by a process of its own, one query after another. Beside it, on some of the queries: the
Levenshtein distance of interval strings to every piece, which is what a search without an index would do.

Stores and results lie in the work folder, by the digest of the code that made them: an interrupted run goes on where it
was, and only what the code changed is made again. `--out` gets benchmarks.json and img/scale.svg with all sizes that
this code has measured; the tables go to stdout, as Markdown.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
import platform
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

sys.path.insert(0, str(Path(__file__).parents[1]))

from audit.find import find
from audit.findings import strongest_verdict
from audit.opening import open_audit_corpus
from audit.policy import read_policy
from audit.search.corpus import SearchCorpus
from audit.search.lines import voice_table
from bench.scale_queries import CASES, OTHERS, SEED, Query, intervals, make_queries, music, share, shuffled
from bench.scale_tables import picture, tables
from corpus.chorales import scores
from corpus.ingest import ingest
from corpus.store import Store, write_synced
from music.midi import midi_bytes
from music.notes import NoteSequence, build
from music.read import listing
from music.voices import melody

ROOT = Path(__file__).parents[1]
FOLDER = 1000  # fillers a folder
LEARNT = 400  # pieces that the Markov chain is learnt from


def markov(pieces: Sequence[NoteSequence]) -> dict[Any, list[Any]]:
    """Learn which (interval, duration) follows each pair of them."""
    table: dict[Any, list[Any]] = {}
    for line in map(melody, pieces):
        steps = list(zip(np.diff(line.pitch).tolist(), np.round(line.duration_beat[:-1], 3).tolist(), strict=True))
        for a, b, c in zip(steps, steps[1:], steps[2:], strict=False):
            table.setdefault((a, b), []).append(c)
    return table


def filler(table: dict[Any, list[Any]], keys: list[Any], number: int) -> NoteSequence:
    """Draw melody `number`, of 60 to 400 notes; a chain that ends begins again somewhere else."""
    rng = random.Random(SEED * 10_000_019 + number)
    state, pitch = rng.choice(keys), rng.randint(55, 76)
    pitches, lengths = [], []
    for _ in range(rng.randint(60, 400)):
        if state not in table:
            state = rng.choice(keys)
        step = rng.choice(table[state])
        pitch = min(100, max(36, pitch + step[0]))
        pitches.append(pitch)
        lengths.append(max(step[1], 0.05))
        state = (state[1], step)
    return build(np.concatenate([[0.0], np.cumsum(lengths)[:-1]]), lengths, pitches)


def fillers(folder: Path, count: int, corpus: Sequence[Path]) -> list[Path]:
    """Write what is missing of the first `count` fillers, and return folders and files that hold just those."""
    if count <= 0:
        return []
    parts = [folder / f"{k:04d}" for k in range(-(-count // FOLDER))]
    missing = [part for part in parts if not part.is_dir()]
    table = markov([m for m in map(music, corpus[:LEARNT]) if m is not None]) if missing else {}
    keys = sorted(table)
    for part in missing:
        temporary = part.with_name(f".{part.name}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for number in range(int(part.name) * FOLDER, (int(part.name) + 1) * FOLDER):
            (temporary / f"filler{number:07d}.mid").write_bytes(midi_bytes(filler(table, keys, number)))
        temporary.rename(part)
    whole = parts[: count // FOLDER]
    return [*whole, *sorted(parts[-1].iterdir())[: count % FOLDER]] if count % FOLDER else whole


def code_digest(*folders: str) -> str:
    """SHA-256 of the sources in these folders, 16 digits."""
    files = sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def build_store(path: Path, before: Path | None, corpus: Sequence[Path], filling: Sequence[Path]) -> dict[str, Any]:
    """Make a store, from a smaller one where there is one, and its index; what is there is left alone.

    Returns the milliseconds a file: of the corpus' own files, and of the fillers, and of the index and what belongs
    to it. Timed only where the work was done.
    """
    code = {"store": code_digest("corpus", "music"), "index": code_digest("corpus", "music", "audit")}
    note = path.with_suffix(".json")
    made = json.loads(note.read_bytes()) if note.exists() else {}
    if made.get("code") == code:
        return dict(made)
    if made and made["code"]["store"] != code["store"]:
        shutil.rmtree(path, ignore_errors=True)
    if before is not None and not path.exists():
        shutil.copytree(before, path, copy_function=os.link)  # segments never change, and all else is renamed
        shutil.rmtree(path / "index", ignore_errors=True)  # made in one go, to be timed
    times: dict[str, Any] = {"corpus_ms": None, "filler_ms": None, **made, "code": code}
    for name, files in (("corpus_ms", corpus), ("filler_ms", filling)):
        started = time.perf_counter()
        added = ingest(files, path).added if files else 0
        if added:
            times[name] = 1000 * (time.perf_counter() - started) / added
    shutil.rmtree(path / "index", ignore_errors=True)
    steps: dict[str, float] = {}

    @contextmanager
    def watch(step: str) -> Iterator[Callable[[int, int], None]]:
        started = time.perf_counter()
        yield lambda done, total: None
        steps[step] = time.perf_counter() - started

    opened = open_audit_corpus(Store.open(path), watch, workers=os.cpu_count() or 1)
    files_, segments = len(opened.store.pieces), path / "index" / "segments"
    times |= {
        "pieces": files_,
        "notes": opened.index.notes,
        "index_ms": 1000 * steps["index"] / files_,
        "steps_s": steps,
        "index_bytes_a_note": sum(f.stat().st_size for f in segments.rglob("*") if f.is_file()) / opened.index.notes,
    }
    write_synced(note, json.dumps(times).encode())
    return times


def anonymous_mib() -> float:
    """Memory of this process that no file backs, in MiB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon")) / 1024


def measure(store: Path, out: Path, started: float, options: argparse.Namespace) -> None:
    """Answer the queries of every wanted case that `out` does not hold yet."""
    corpus = open_audit_corpus(Store.open(store), _quiet)
    policy = read_policy()
    queries = out.with_name(f"queries-{out.stem.split('-', 2)[2]}.pickle")
    cases: dict[str, list[Query]] = pickle.loads(queries.read_bytes())
    result = json.loads(out.read_bytes()) if out.exists() else {"cases": {}}
    opened = time.time() - started
    find(corpus, next(iter(cases.values()))[0].notes, policy)
    result.setdefault("start", {"open_s": opened, "first_answer_s": time.time() - started})
    result.setdefault("memory_mib", {"opened": anonymous_mib(), "most": 0.0})
    for case, asked in cases.items():
        if case in options.cases and case not in result["cases"]:
            result["cases"][case] = score(corpus, asked, policy)
            result["memory_mib"]["most"] = max(result["memory_mib"]["most"], anonymous_mib())
            write_synced(out, json.dumps(result).encode())
    if "levenshtein" not in result:
        result["levenshtein"] = scan(corpus, {case: asked[: options.scan] for case, asked in cases.items()})
        write_synced(out, json.dumps(result).encode())


@contextmanager
def _quiet(step: str) -> Iterator[Callable[[int, int], None]]:
    yield lambda done, total: None


def score(corpus: SearchCorpus, asked: Sequence[Query], policy: Any) -> dict[str, Any]:
    """Search every query; count what was found, and what was flagged and failed."""
    first = ten = flagged = failed = 0
    overlaps, seconds = [], []
    for query in asked:
        start = time.perf_counter()
        findings = find(corpus, query.notes, policy)
        seconds.append(time.perf_counter() - start)
        verdict = strongest_verdict([f.verdict for f in findings])
        flagged += verdict != "clear"
        failed += verdict == "fail"
        named = list(dict.fromkeys(f.piece for f in findings))
        right = [right_piece(corpus.store, query, piece) for piece in named] if query.source else []
        first += bool(right and right[0])
        ten += any(right)
        if query.span_s and any(right):
            good = {piece for piece, holds in zip(named, right, strict=True) if holds}
            overlaps.append(max(overlap(f.query_span_s, query.span_s) for f in findings if f.piece in good))
    found = {"R@1": first, "R@10": ten} if asked[0].source else {}
    return {
        "n": len(asked),
        **{name: share(k, len(asked)) for name, k in {**found, "flagged": flagged, "failed": failed}.items()},
        "IoU": float(np.median(overlaps)) if overlaps else None,
        "ms": [round(1000 * s, 3) for s in seconds],
    }


def right_piece(store: Store, query: Query, path: str) -> bool:
    if path == query.source:
        return True
    row, source = store.index_of(path), store.index_of(str(query.source))
    if store.groups[row] == store.groups[source]:
        return True
    return any(query.copied in intervals(pitch) for pitch, _, _ in voice_table(store.notes(row)))


def overlap(a: tuple[float, float], b: tuple[float, float]) -> float:
    shared = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    return shared / max(max(a[1], b[1]) - min(a[0], b[0]), 1e-9)


def scan(corpus: SearchCorpus, cases: dict[str, list[Query]]) -> dict[str, Any]:
    """Compare some queries with every piece: distance of interval strings, by the longer one; highest voices only."""
    import Levenshtein

    strings: dict[int, str] = {}
    for segment in corpus.index.segments:
        bounds = segment.voice_start.astype(np.int64)
        height = np.add.reduceat(segment.pitch.astype(np.int64), bounds[:-1]) / np.diff(bounds)
        for voice in np.lexsort((height, segment.voice_piece)):  # of each piece, the highest comes last
            pitch = segment.pitch[bounds[voice] : bounds[voice + 1]].astype(np.int16)
            strings[int(segment.voice_piece[voice])] = intervals(pitch).decode("latin-1")
    rows, texts = list(strings), list(strings.values())
    milliseconds: list[float] = []
    first: dict[str, list[float]] = {}
    for case, asked in cases.items():
        hits = 0
        for query in asked:
            own = intervals(melody(query.notes).pitch).decode("latin-1")
            start = time.perf_counter()
            far = [Levenshtein.distance(own, text) / max(len(own), len(text)) for text in texts]
            best = rows[int(np.argmin(far))]
            milliseconds.append(round(1000 * (time.perf_counter() - start), 3))
            hits += bool(query.source and right_piece(corpus.store, query, corpus.store.pieces[best].path))
        if asked[0].source:
            first[case] = share(hits, len(asked))
    return {"ms": milliseconds, "R@1": first}


def say(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{os.cpu_count()} x {name}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pieces", default="1000,10000,100000,200000")
    parser.add_argument("-n", type=int, default=100, help="queries a case")
    parser.add_argument("--cases", default=",".join(CASES), help=f"some of: {', '.join(CASES)}".replace("%", "%%"))
    parser.add_argument("--scan", type=int, default=4, help="queries a case for the Levenshtein scan")
    parser.add_argument("--corpus", type=Path, help="folder of the music that is copied")
    parser.add_argument("--hosts", type=Path, help="folder of the music that copies are put into")
    parser.add_argument("--negatives", type=Path, help="folder of music that copies nothing")
    parser.add_argument("--work", type=Path, default=user_cache_path("contraste") / "bench")
    parser.add_argument("--out", type=Path, help="folder for benchmarks.json and img/scale.svg")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)  # how this program calls itself
    options = parser.parse_args()
    options.cases = options.cases.split(",")
    if not set(options.cases) <= set(CASES):
        parser.error(f"--cases: known are {', '.join(CASES)}")
    try:
        options.pieces = sorted({int(text) for text in options.pieces.split(",")})
    except ValueError:
        parser.error(f"--pieces {options.pieces}: write numbers, for example 1000,10000")
    if options.pieces[0] < 1 or options.n < 1 or options.scan < 1:
        parser.error("--pieces, -n and --scan start at 1")
    return options


def main() -> None:
    """Build, measure and report each size."""
    options = arguments()
    if options.measure:
        store, out, started = options.measure
        return measure(Path(store), Path(out), float(started), options)
    found = listing(options.corpus).notes if options.corpus else sorted((scores() / "bach").glob("*.mxl"))
    order = list({file.name: file for file in found}.values())  # files are named without folders in the stores
    random.Random(SEED).shuffle(order)
    sources = [(file, file.name) for file in order[: options.pieces[0]]]  # in every store
    others = [f for name in OTHERS for f in sorted((scores() / name).rglob("*.mxl"))]
    hosts = shuffled(listing(options.hosts).notes if options.hosts else others, np.random.default_rng(SEED))[:300]
    negatives = listing(options.negatives).notes if options.negatives else others
    key = json.dumps([str(p and p.resolve()) for p in (options.corpus, options.hosts, options.negatives)])
    work = options.work / hashlib.sha256(key.encode()).hexdigest()[:8]
    (work / "stores").mkdir(parents=True, exist_ok=True)
    own = "".join(file.read_text() for file in sorted(Path(__file__).parent.glob("scale*.py")))
    code = hashlib.sha256((code_digest("corpus", "music", "audit") + own).encode()).hexdigest()
    name = f"{options.n}-of-{len(sources)}-{code[:16]}"
    asked = work / f"queries-{name}.pickle"
    if not asked.exists():
        say("queries")
        drawn = {case: make_queries(case, sources, hosts, negatives, options.n) for case in CASES}
        write_synced(asked, pickle.dumps({case: queries for case, queries in drawn.items() if queries}))
    before, results = None, {}
    for size in options.pieces:
        say(f"{size:,} pieces: store")
        path = work / "stores" / str(size)
        made = build_store(path, before, order[:size], fillers(work / "fill", size - len(order), order))
        before = path
        say(f"{size:,} pieces: {made['pieces']:,} with {made['notes']:,} notes; search")
        out = work / f"result-{size}-{name}.json"
        command = [sys.executable, __file__, "--measure", path, out, repr(time.time()), "--scan", options.scan]
        command += ["--cases", ",".join(options.cases), "-n", options.n]
        subprocess.run([str(word) for word in command], check=True)
        results[size] = {"store": made, **json.loads(out.read_bytes())}
    for line in tables(results):
        print(line)
    if options.out:
        (options.out / "img").mkdir(parents=True, exist_ok=True)
        about = {"made_by": "bench/scale.py", "processor": processor(), "seed": SEED, "queries_a_case": options.n}
        (options.out / "benchmarks.json").write_text(json.dumps({**about, "sizes": results}, indent=1) + "\n")
        (options.out / "img" / "scale.svg").write_text(picture(results))


if __name__ == "__main__":
    main()
