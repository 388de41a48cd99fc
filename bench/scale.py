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
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from platformdirs import user_cache_path

sys.path.insert(0, str(Path(__file__).parents[1]))

from audit.find import find
from audit.findings import strongest_verdict
from audit.opening import open_audit_corpus
from audit.policy import read_policy
from audit.search.corpus import SearchCorpus
from audit.search.lines import voice_table
from corpus.chorales import scores
from corpus.ingest import ingest
from corpus.store import Store, write_synced
from music.midi import midi_bytes
from music.notes import MusicError, NoteSequence, Part, build
from music.read import listing, read_music
from music.voices import melody, melody_rows

ROOT = Path(__file__).parents[1]
OTHERS = ("monteverdi", "mozart", "haydn", "beethoven", "handel", "joplin", "trecento")
SEED = 1
FOLDER = 1000  # fillers a folder
LEARNT = 400  # pieces that the Markov chain is learnt from
TABLE = ("n", "R@1", "R@10", "flagged", "failed", "IoU")


class Query(NamedTuple):
    """A query and its truth: the piece it copies, the copied intervals, and where they lie (None: all of it)."""

    notes: NoteSequence
    source: str | None
    copied: bytes
    span_s: tuple[float, float] | None


# Queries


def intervals(pitch: Any) -> bytes:
    return bytes(np.diff(pitch).astype(np.int8).tobytes())


def shifted(piece: NoteSequence, rng: np.random.Generator) -> NoteSequence:
    return piece.transpose(int(rng.choice([-7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7])))


def stretched(piece: NoteSequence, rng: np.random.Generator) -> NoteSequence:
    by = float(rng.choice([0.5, 0.6, 0.75, 0.8, 1.25, 4 / 3, 1.5, 1.7, 2.0]))
    onset, length = piece.onset_beat * by, piece.duration_beat * by
    return build(onset, length, piece.pitch, piece.velocity, piece.part, parts=piece.parts)


def ornamented(line: NoteSequence, rng: np.random.Generator, share: float) -> NoteSequence:
    """Edit that share of the notes: substitute, drop, split in two, or shorten."""
    notes: list[tuple[float, float, int]] = []
    for onset, length, pitch in zip(line.onset_beat, line.duration_beat, line.pitch, strict=True):
        edit = int(rng.integers(4)) if rng.random() < share else None
        near = int(np.clip(pitch + rng.choice([-2, -1, 1, 2]), 0, 127))
        if edit is None:
            notes.append((onset, length, pitch))
        elif edit == 0:
            notes.append((onset, length, near))
        elif edit == 1:
            notes += [(onset, length / 2, pitch), (onset + length / 2, length / 2, near)]
        elif edit == 2:
            notes.append((onset, length * rng.choice([0.5, 0.75]), pitch))
    return build(*np.array(notes).T)


def reharmonised(piece: NoteSequence, host: NoteSequence) -> NoteSequence:
    """Set the melody over the parts of other music."""
    line = melody(piece)
    under = host.select(np.setdiff1d(np.flatnonzero(host.onset_beat < line.end_beat), melody_rows(host)))
    return build(
        np.concatenate([line.onset_beat, under.onset_beat]),
        np.concatenate([line.duration_beat, under.duration_beat]),
        np.concatenate([line.pitch, np.maximum(under.pitch - 12, 0)]),
        part=np.concatenate([np.zeros(len(line), int), 1 + under.part]),
        parts=(Part("lead"), *(Part(f"under {i}") for i in range(len(under.parts)))),
    )


def reduced(piece: NoteSequence) -> NoteSequence:
    """Put all parts into one, as a piano reduction does."""
    pitched = piece.select(~piece.is_drum)
    _, first = np.unique(np.stack([pitched.onset_beat, pitched.pitch]), axis=1, return_index=True)
    return build(pitched.onset_beat[first], pitched.duration_beat[first], pitched.pitch[first])


def fragment(piece: NoteSequence, bars: int, rng: np.random.Generator) -> tuple[NoteSequence, float] | None:
    """Cut some bars out of the melody, with 2.5 notes a bar and four pitches at least; None where there are none."""
    line, length = melody(piece), bars * piece.time_signatures[0].bar_beats
    for start in rng.permutation(line.onset_beat[line.onset_beat <= line.end_beat - length])[:20]:
        cut = line.select((line.onset_beat >= start - 1e-6) & (line.onset_beat < start + length - 1e-6))
        if len(cut) >= 2.5 * bars and len(np.unique(cut.pitch)) >= 4:
            return build(cut.onset_beat - start, cut.duration_beat, cut.pitch), length
    return None


def embedded(
    piece: NoteSequence, host: NoteSequence, bars: int, rng: np.random.Generator, share: float = 0.0
) -> tuple[NoteSequence, bytes, tuple[float, float]] | None:
    """Put some bars of the melody, transposed and ornamented, into the melody of other music."""
    found = fragment(piece, bars, rng)
    if found is None:
        return None
    cut, length = found
    placed = ornamented(shifted(cut, rng), rng, share)
    if not len(placed):
        return None
    around = melody(host)
    at = round(float(rng.uniform(0.2, 0.6)) * around.end_beat)
    near = int(around.pitch[np.argmin(np.abs(around.onset_beat - at))])
    octave = 12 * round((near - float(placed.pitch.mean())) / 12)
    later = around.onset_beat >= at
    query = build(
        np.concatenate([around.onset_beat + np.where(later, length, 0.0), placed.onset_beat + at]),
        np.concatenate([around.duration_beat, placed.duration_beat]),
        np.clip(np.concatenate([around.pitch, placed.pitch + octave]), 0, 127),
    )
    start, end = query.seconds_at([at, at + length])
    return query, intervals(cut.pitch), (float(start), float(end))


Change = Callable[[NoteSequence, NoteSequence, np.random.Generator], NoteSequence]
WHOLE: dict[str, Change] = {
    "exact": lambda piece, host, rng: piece,
    "transposed": lambda piece, host, rng: shifted(piece, rng),
    "stretched": lambda piece, host, rng: stretched(piece, rng),
    "ornament 20 %": lambda piece, host, rng: shifted(ornamented(melody(piece), rng, 0.2), rng),
    "ornament 30 %": lambda piece, host, rng: shifted(ornamented(melody(piece), rng, 0.3), rng),
    "ornament 40 %": lambda piece, host, rng: shifted(ornamented(melody(piece), rng, 0.4), rng),
    "melody alone": lambda piece, host, rng: shifted(melody(piece), rng),
    "reharmonised": lambda piece, host, rng: reharmonised(shifted(piece, rng), host),
    "piano reduction": lambda piece, host, rng: reduced(piece),
}
EMBEDDED = {
    "8 bars embedded": (8, 0.0),
    "8 bars ornamented": (8, 0.2),
    "4 bars embedded": (4, 0.0),
    "2 bars embedded": (2, 0.0),
}
NEGATIVES = "other music"
CASES = (*WHOLE, *EMBEDDED, NEGATIVES)


@cache
def music(path: Path) -> NoteSequence | None:
    """Read a file; None for what can't be read or has hardly a melody."""
    try:
        sequence = read_music(path)
    except MusicError:
        return None
    return sequence if len(melody_rows(sequence)) >= 24 else None


def make_queries(
    case: str, sources: Sequence[tuple[Path, str]], hosts: Sequence[Path], negatives: Sequence[Path], n: int
) -> list[Query]:
    """Up to n queries of a case, from sources (path, name in the store) in a seeded order."""
    rng = np.random.default_rng([SEED, CASES.index(case)])
    if case == NEGATIVES:
        return [Query(m, None, b"", None) for m in map(music, _shuffled(negatives, rng)) if m is not None][:n]
    made: list[Query] = []
    around = [m for m in map(music, hosts) if m is not None]
    for i in rng.permutation(len(sources)):
        piece, host = music(sources[i][0]), around[int(rng.integers(len(around)))]
        if piece is None or len(made) == n:
            continue
        if case in WHOLE:
            changed = WHOLE[case](piece, host, rng)
            made.append(Query(changed, sources[i][1], intervals(melody(piece).pitch), None))
        elif (cut := embedded(piece, host, *EMBEDDED[case][:1], rng, EMBEDDED[case][1])) is not None:
            made.append(Query(cut[0], sources[i][1], cut[1], cut[2]))
    return made


def _shuffled(files: Sequence[Path], rng: np.random.Generator) -> list[Path]:
    return [files[i] for i in rng.permutation(len(files))]


# Stores


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


# Measuring, in a process of its own


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


def share(k: int, n: int) -> list[float]:
    """Share k / n with its 95 % Wilson interval."""
    from scipy.stats import binomtest

    interval = binomtest(k, n).proportion_ci(method="wilson")
    return [k / n, float(interval.low), float(interval.high)]


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


# What comes out


def spread(milliseconds: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    return float(np.median(milliseconds)), float(np.percentile(milliseconds, 95))


def all_ms(result: dict[str, Any]) -> list[float]:
    return [ms for case in result["cases"].values() for ms in case["ms"]]


def tables(results: dict[int, dict[str, Any]]) -> Iterator[str]:
    """Markdown: cost by size, then what was found in each store."""
    cost = ("pieces", "notes", "ms a query: median / p95", "Levenshtein scan, ms", "first answer, s", "memory, MiB")
    yield _row(*cost, "index, bytes a note", "ms a file: read + indexed")
    yield "|---" * 8 + "|"
    for size, r in results.items():
        median, late = spread(all_ms(r))
        store = r["store"]
        yield _row(
            f"{size:,}",
            f"{store['notes']:,}",
            f"{median:.0f} / {late:.0f}",
            f"{spread(r['levenshtein']['ms'])[0]:.0f}",
            f"{r['start']['first_answer_s']:.1f}",
            f"{r['memory_mib']['most']:.0f}",
            f"{store['index_bytes_a_note']:.1f}",
            f"{store['filler_ms'] or store['corpus_ms']:.1f} + {store['index_ms']:.1f}",
        )
    for size, r in results.items():
        yield f"\n{size:,} pieces:\n"
        yield _row("query", *TABLE, "ms: median / p95", "Levenshtein R@1")
        yield "|---" * (len(TABLE) + 3) + "|"
        for case, row in r["cases"].items():
            median, late = spread(row["ms"])
            scanned = _cell(r["levenshtein"]["R@1"].get(case))
            yield _row(case, *(_cell(row.get(name)) for name in TABLE), f"{median:.0f} / {late:.0f}", scanned)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return f"{value[0]:.2f} ({value[1]:.2f}\u2013{value[2]:.2f})"
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def picture(results: dict[int, dict[str, Any]]) -> str:
    """Draw the cost of a query against the number of pieces, both logarithmic, as one SVG file."""
    width, height, left, right, top, bottom = 760, 420, 74, 560, 24, 366
    lines = {
        "Levenshtein scan": ("scan", [(n, *spread(r["levenshtein"]["ms"])) for n, r in results.items()]),
        "contraste": ("own", [(n, *spread(all_ms(r))) for n, r in results.items()]),
    }
    sizes, costs = list(results), [ms for _, points in lines.values() for point in points for ms in point[1:]]
    x0, x1 = np.floor(np.log10(min(sizes))), max(np.ceil(np.log10(max(sizes))), np.floor(np.log10(min(sizes))) + 1)
    y0, y1 = np.floor(np.log10(min(costs))), max(np.ceil(np.log10(max(costs))), np.floor(np.log10(min(costs))) + 1)

    def x(pieces: float) -> float:
        return round(left + float((np.log10(pieces) - x0) / (x1 - x0)) * (right - left), 1)

    def y(ms: float) -> float:
        return round(bottom - float((np.log10(ms) - y0) / (y1 - y0)) * (bottom - top), 1)

    def power(exponent: int) -> str:
        ms = 10.0**exponent
        return f"{ms / 1000:g} s" if ms >= 1000 else f"{ms:g} ms"

    drawn = [f'<rect class="panel" x="{left}" y="{top}" width="{right - left}" height="{bottom - top}"/>']
    for k in range(int(y0), int(y1) + 1):
        drawn.append(f'<path class="grid" d="M{left} {y(10.0**k)}H{right}"/>')
        drawn.append(f'<text class="end" x="{left - 8}" y="{y(10.0**k) + 4}">{power(k)}</text>')
    for k in range(int(x0), int(x1) + 1):
        drawn.append(f'<path class="grid" d="M{x(10.0**k)} {top}V{bottom}"/>')
        drawn.append(f'<text class="mid" x="{x(10.0**k)}" y="{bottom + 18}">{10**k:,}</text>')
    for name, (style, points) in lines.items():
        path = "L".join(f"{x(n)} {y(ms)}" for n, ms, _ in points)
        drawn.append(f'<path class="{style}" d="M{path}"/>')
        for n, ms, late in points:
            drawn.append(f'<path class="{style}" d="M{x(n)} {y(ms)}V{y(late)}m-4 0h8"/>')
            drawn.append(f'<circle class="{style}" cx="{x(n)}" cy="{y(ms)}" r="4.5"/>')
        n, ms, _ = points[-1]
        shown = f"{ms / 1000:.1f} s" if ms >= 1000 else f"{ms:.0f} ms"
        at = min(x(n) + 12, right + 10)
        drawn.append(f'<text class="name" x="{at}" y="{y(ms) + 4}">{name}: {shown}</text>')
    drawn.append(f'<text class="mid" x="{(left + right) / 2}" y="{bottom + 42}">pieces in the store</text>')
    drawn.append(f'<text x="{left}" y="{top - 9}">time a query: median, and bar to the 95th percentile</text>')
    style = (
        "text{font:12px system-ui,sans-serif;fill:#566070}.end{text-anchor:end}.mid{text-anchor:middle}"
        ".name{font-weight:600}.panel{fill:#f4f2ec}.grid{stroke:#dcdad3;fill:none}"
        "path.own,path.scan{fill:none;stroke-width:2}path.own{stroke:#1f62ad}path.scan{stroke:#c05f00;"
        "stroke-dasharray:6 3}circle.own{fill:#1f62ad}circle.scan{fill:#c05f00}"
        "@media (prefers-color-scheme:dark){text{fill:#a2abb8}.panel{fill:#12161b}.grid{stroke:#343c47}"
        "path.own{stroke:#69a9f0}path.scan{stroke:#f0a04b}circle.own{fill:#69a9f0}circle.scan{fill:#f0a04b}}"
    )
    label = "Time a query against the number of pieces, of contraste and of a Levenshtein scan; both axes logarithmic"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        f' role="img" aria-label="{label}"><style>{style}</style>{"".join(drawn)}</svg>\n'
    )


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
    hosts = _shuffled(listing(options.hosts).notes if options.hosts else others, np.random.default_rng(SEED))[:300]
    negatives = listing(options.negatives).notes if options.negatives else others
    key = json.dumps([str(p and p.resolve()) for p in (options.corpus, options.hosts, options.negatives)])
    work = options.work / hashlib.sha256(key.encode()).hexdigest()[:8]
    (work / "stores").mkdir(parents=True, exist_ok=True)
    code = hashlib.sha256((code_digest("corpus", "music", "audit") + Path(__file__).read_text()).encode()).hexdigest()
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
