"""A store described for other people's tools: Croissant 1.0, JSON-LD (MLCommons).

The description holds the digest and size of every file of the store, and inline, for every piece, its rights,
split, duplicate group and digests: split and group are worked out from all pieces and stand in no file. It has no
date in it, which mlcroissant remarks on: the same store gives the same description.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from corpus.prepare import SPLITS, PieceRecord
from corpus.recordings import FOLDER, open_recordings
from corpus.store import Store

CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The context that the specification prescribes."""
SPLIT_URLS = {"train": "cr:TrainingSplit", "valid": "cr:ValidationSplit", "test": "cr:TestSplit"}
FORMATS = {".json": "application/json", ".jsonl": "application/jsonlines", ".npy": "application/octet-stream"}
COLUMNS = {
    "path": "path below the source it was read from; unique",
    "title": "title",
    "artist": "artist",
    "licence": "licence",
    "source": "where it came from",
    "consent": "granted, not_required, unknown, or nothing where nothing is known",
    "isrc": "ISO 3901 code of the recording",
    "iswc": "ISO 15707 code of the work",
    "group": "path of the oldest piece of its duplicate group, which no split parts",
    "file_sha256": "SHA-256 of the file it was read from",
    "notes_sha256": "SHA-256 of its notes",
    "duration_s": "seconds",
    "notes": "number of notes",
}
"""Fields of a piece, beside its split."""


def describe(store: Store, out: Path) -> bytes:
    """Return the description of a store.

    Parameters
    ----------
    store : Store
        Opened whole: with a damaged segment left out it would describe another one.
    out : Path
        Where the description will lie; places of files are relative to its folder.

    Returns
    -------
    bytes
        JSON-LD. The same store and places give the same bytes.

    Raises
    ------
    StoreDamagedError
        When a piece can't be read.
    """
    pieces = store.pieces[:]
    place = Path(os.path.relpath(store.path.resolve(), out.resolve().parent))
    cleared = sum(piece.rights.cleared for piece in pieces)
    licences = sorted({piece.rights.licence for piece in pieces if piece.rights.licence})
    value = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": store.path.resolve().name,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "description": (
            f"{len(pieces)} pieces of music as notes, {cleared} of them with a licence and a consent on file."
        ),
        **({"license": licences} if licences else {}),
        "version": "1.0.0",
        "identifier": f"sha256:{store.digest}",
        "distribution": _files(store, place),
        "recordSet": [_splits(), _pieces(pieces)],
    }
    return json.dumps(value, indent=1, ensure_ascii=False).encode() + b"\n"


def _files(store: Store, place: Path) -> list[dict[str, Any]]:
    """Name every file that the store's manifest and that of its recordings hold, and both manifests."""
    manifest = store.path / "manifest.json"
    files = [("manifest.json", manifest.stat().st_size, store.digest)]
    for segment in store.segments:
        files += [(f"segments/{segment.name}/{name}", f.bytes, f.sha256) for name, f in segment.files.items()]
    recordings = open_recordings(store)
    if len(recordings):
        files.append(
            (f"{FOLDER}/manifest.json", (store.path / FOLDER / "manifest.json").stat().st_size, recordings.digest)
        )
    for entry in recordings.segments:
        files += [(f"{FOLDER}/{entry.name}/{name}", f.bytes, f.sha256) for name, f in entry.files.items()]
    return [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": (place / name).as_posix(),
            "contentSize": f"{size} B",
            "encodingFormat": FORMATS[Path(name).suffix],
            "sha256": digest,
        }
        for name, size, digest in files
    ]


def _splits() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [_field("splits", "name", "name of the split"), _field("splits", "url", "its kind", "sc:URL")],
        "data": [{"splits/name": name, "splits/url": SPLIT_URLS[name]} for name, _ in SPLITS],
    }


def _pieces(pieces: Sequence[PieceRecord]) -> dict[str, Any]:
    split = _field("pieces", "split", "train, valid or test; works are never parted")
    split["references"] = {"field": {"@id": "splits/name"}}
    columns = [_field("pieces", name, text, _TYPES.get(name, "sc:Text")) for name, text in COLUMNS.items()]
    return {
        "@type": "cr:RecordSet",
        "@id": "pieces",
        "name": "pieces",
        "description": "Every piece, with its rights.",
        "key": {"@id": "pieces/path"},
        "field": [*columns, split],
        "data": [{f"pieces/{name}": value for name, value in _row(piece).items()} for piece in pieces],
    }


_TYPES = {"duration_s": "sc:Float", "notes": "sc:Integer"}


def _row(piece: PieceRecord) -> dict[str, Any]:
    about = asdict(piece)
    digests = {"file_sha256": piece.file_digest, "notes_sha256": piece.notes_digest}
    row = {**about, **asdict(piece.rights), **digests}
    return {name: row[name] for name in (*COLUMNS, "split")}


def _field(record_set: str, name: str, description: str, kind: str = "sc:Text") -> dict[str, Any]:
    identifier = f"{record_set}/{name}"
    return {"@type": "cr:Field", "@id": identifier, "name": name, "description": description, "dataType": kind}
