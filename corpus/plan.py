"""What an ingest will do with each file: read it, leave it alone, update its rights, or refuse it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple, cast

from corpus.prepare import PieceRecord, Refused
from corpus.recordings import Recording, RecordingJob, Recordings
from corpus.rights import Rights, RightsError, RightsRow, RightsTable, normal, with_rights
from corpus.store import Store
from music.read import listing
from music.text import printable

Job = tuple[Path, str, Rights, str, str]  # the arguments of `prepare`


class Plan(NamedTuple):
    """The files to read, the number already there, those refused, and rows that change what is in the store."""

    notes: list[Job]
    sound: list[RecordingJob]
    known: int
    refused: list[Refused]
    rights: dict[str, RightsRow]
    unmatched: list[str]


def plan_ingest(
    store: Store, sounds: Recordings, sources: Sequence[str | Path], table: RightsTable, require_rights: bool
) -> Plan:
    """Decide what an ingest does with each file; see `corpus.ingest.ingest` for the parameters and errors."""
    seen: dict[str, Path] = {}
    notes: list[Job] = []
    sound: list[RecordingJob] = []
    known = 0
    refused: list[Refused] = []
    rows: dict[str, RightsRow] = {}  # of what is in the store
    opted_out = frozenset(store.opted_out)
    for source in map(Path, sources):
        listed = listing(source)
        refused += [
            Refused(printable(_name(one.path, source)), f"{one.path}: {one.reason}")
            for one in listed.left_out
            if one.weight != "none"
        ]
        for file in sorted((*listed.notes, *listed.sound)):
            name = _name(file, source)
            first = seen.setdefault(name, file)
            if first is not file and first.resolve() != file.resolve():
                refused.append(Refused(name, f"{file}: a second file of this name ({first} came first)"))
                continue
            row = table.look_up(name)
            rights = row.rights if row else Rights()
            held = digest_of_held(find_held(store, sounds, name))
            reason = _refusal(file, rights, held, opted_out, require_rights)
            if not reason and held and held != _file_digest(file):
                reason = f"the store holds another file under {name!r}; pieces are never overwritten"
            if reason:
                refused.append(Refused(name, f"{file}: {reason}"))
            elif held:
                known += 1
            elif first is file:
                job = file, name, rights, row.title if row else "", row.artist if row else ""
                if file in listed.sound:
                    sound.append(RecordingJob(*job))
                else:
                    notes.append(job)
            if row and held:
                rows[name] = row
    rows |= {row.path: row for row in table.rows if find_held(store, sounds, row.path)}
    unmatched = _name_unmatched(table, [*seen, *rows], store, sounds)
    if unmatched and require_rights:
        raise RightsError(
            f"--require-rights was given, and rows of the rights file match nothing: {'; '.join(unmatched)}"
        )
    changed = {name: row for name, row in rows.items() if _changes(find_held(store, sounds, name), row)}
    return Plan(notes, sound, known, refused, changed, unmatched)


def _refusal(file: Path, rights: Rights, held: bytes, opted_out: frozenset[str], require_rights: bool) -> str:
    """Say why a file's rights keep it outside, or ""."""
    if rights.refusal:
        return rights.refusal
    if require_rights and not rights.cleared:
        reason = "no licence and consent on file, and --require-rights was given"
        return reason + ("; the store holds it from an earlier run" if held else "")
    asked_for = rights.consented
    if opted_out and not held and not asked_for and _file_digest(file).hex() in opted_out:
        return "it opted out earlier; only a consent on file brings it back"
    return ""


def _name_unmatched(table: RightsTable, names: Iterable[str], store: Store, sounds: Recordings) -> list[str]:
    """Say which rows of a table match neither one of `names` nor anything in the store."""
    if not table.find_unmatched(names):
        return []
    everything = {*names, *(record.path for record in (*store.pieces, *sounds))}
    return [
        f"line {row.line}: {row.path!r} matches no file{f'; perhaps {meant!r} is meant' if meant else ''}"
        for row, meant in table.find_unmatched(everything)
    ]


def _changes(record: PieceRecord | Recording | None, row: RightsRow) -> bool:
    return record is not None and (bool(row.rights.refusal) or with_rights(asdict(record), row) != asdict(record))


def _name(file: Path, source: Path) -> str:
    return file.relative_to(source).as_posix() if source.is_dir() else file.name


def find_held(store: Store, sounds: Recordings, name: str) -> PieceRecord | Recording | None:
    """Return the piece or the recording that the store holds under `name`, or None."""
    for form in dict.fromkeys((name, normal(name))):
        try:
            return store.pieces[store.index_of(form)]
        except KeyError:
            pass
        try:
            return cast(Recording, sounds[sounds.index_of(form)])
        except KeyError:
            pass
    return None


def digest_of_held(record: PieceRecord | Recording | None) -> bytes:
    """Return the SHA-256 of the file that a piece or a recording was read from; b"" for None."""
    return bytes.fromhex(record.file_digest) if record else b""


def _file_digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""
