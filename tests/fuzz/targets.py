"""What is fuzzed: every parser of what strangers write, each with the errors that it may raise, and seeds made in code.

A target takes bytes and may raise the errors that the command line turns into an exit code; anything else is a finding.
"""

from __future__ import annotations

import atexit
import io
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from audit.checked_toml import TomlError
from audit.gate.waivers import read_waivers
from audit.policy import PROFILES, policy_file, read_policy
from corpus.prepare import PieceRecord
from corpus.recordings import FOLDER, open_recordings
from corpus.rights import Rights, RightsError, read_rights
from corpus.segment import StoreError, write_folder
from corpus.store import SCHEMA, Store, _manifest
from generator.data.vocabulary import VOCABULARY_DIGEST, GeneratorError
from generator.network.checkpoint import CONFIG, FORMAT, TRAINING, held_out_nats, is_spectrogram, read_description
from generator.network.model import SIZES
from generator.training.canaries import CANARIES, read_canaries
from ledger.anchors.anchor import Anchor, anchor_file, read_anchor
from ledger.anchors.chain_checks import judge_anchor, judge_token
from ledger.anchors.tokens import TokenFile, read_token, token_file
from ledger.chains.embedded import EmbeddedChain
from ledger.chains.evidence import Block, Evidence, MinedReceipt, encode_header, encode_receipt, evidence_of
from ledger.chains.networks import ChainIdentity
from ledger.chains.receipts import Mined, Receipt, anchored_event
from ledger.chains.rpc import RpcChain
from ledger.errors import LedgerError, Malformed
from ledger.exchange import credential
from ledger.exchange.cyclonedx import _metrics
from ledger.exchange.declared_roles import _ddex, _metadata
from ledger.hashes.digest import Digest, canonical_json, hash_bytes, parse_json
from ledger.hashes.manifest import FILES, Manifest
from ledger.hashes.merkle import leaf_hash
from ledger.provenance.contributions import contributions_file, read_contributions
from ledger.provenance.record import Record, read_record, record_path
from ledger.signing.envelope import Envelope, sign_statement
from ledger.signing.keyring import BINDING_PREDICATE, REVOCATION_PREDICATE, _RevocationList, check_binding
from ledger.signing.keys import key_id, load_certificates, load_public
from ledger.signing.predicates import content_statement, file_statement, origin_of, signed_manifest
from ledger.signing.statement import Material, Origin, Statement
from ledger.signing.timestamp import in_order
from ledger.signing.trust import Trust
from music.containers import streams
from music.midi import parse_midi, write_midi
from music.notes import MusicError, build
from music.read import listing
from music.scores.musicxml import parse_musicxml
from music.text import printable
from reports.json_report import ReportError, read_report, report_json
from tests.report_cases import report

OURS = (LedgerError, MusicError, StoreError, RightsError, TomlError, GeneratorError, ReportError)
KEY = ec.derive_private_key(1, ec.SECP256R1())
KEY_ID = key_id(KEY.public_key())
ADDRESS, HASH = "0x" + "12" * 20, "0x" + "34" * 32
MEMORY = Path("/dev/shm")  # files that are written thousands of times a second
FOLDER_OF_FILES = Path(tempfile.mkdtemp(prefix="contraste-fuzz-", dir=MEMORY if MEMORY.is_dir() else None))
atexit.register(shutil.rmtree, FOLDER_OF_FILES, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Target:
    """A parser.

    Parameters
    ----------
    run : callable
        Takes the bytes.
    seeds : callable
        Returns valid input, and what the trials found.
    is_json : bool
        Whether values of a JSON text are replaced as well as bytes.
    """

    run: Callable[[bytes], object]
    seeds: Callable[[], list[bytes]]
    is_json: bool = True


def _written(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    """Return what writes bytes to a file and reads it."""
    file = FOLDER_OF_FILES / name

    def run(data: bytes) -> object:
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(data)
        return read(file)

    return run


def _statement(data: bytes) -> None:
    statement = Statement.from_bytes(data)
    statement.to_bytes()
    for read in (origin_of, signed_manifest):
        try:
            read(statement)
        except Malformed:
            continue


def _origin(kind: str) -> Origin:
    digest = hash_bytes(b"x")
    material = Material("model" if kind == "track" else "dataset", "m", digest, "../m")
    return Origin(kind, (material,), {"seed": 1, "files": {}}, {"code": {"contraste": "0"}, "hardware": {}})


def _statements() -> list[bytes]:
    digest = hash_bytes(b"x")
    manifest = Manifest({"a": digest, "b/c": digest}, FILES)
    made = [content_statement("m", manifest, _origin("dataset"))]
    made += [file_statement({"t": digest}, _origin(kind)) for kind in ("track", "report")]
    return [statement.to_bytes() for statement in made]


def _envelopes() -> list[bytes]:
    envelope = sign_statement(Statement.from_bytes(_statements()[0]), KEY)
    raw = json.loads(envelope.to_bytes())
    der = KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    raw["verificationMaterial"] = {"publicKey": {"rawBytes": __import__("base64").b64encode(der).decode()}}
    return [envelope.to_bytes(), json.dumps(raw).encode()]


def _signed(data: bytes) -> None:
    """Read a predicate that a trusted key signed: revocations, and accounts."""
    value = parse_json(data, source="predicate")
    if not isinstance(value, dict):
        return
    trust = Trust({KEY_ID: KEY.public_key()})
    for kind, subject in ((REVOCATION_PREDICATE, f"key/{KEY_ID}"), (BINDING_PREDICATE, "public.pem")):
        envelope = sign_statement(Statement({subject: Digest.from_hex(KEY_ID)}, kind, value), KEY)
        try:
            if kind == BINDING_PREDICATE:
                check_binding(envelope, trust)
            else:
                _RevocationList.of(envelope, trust, "list")
        except LedgerError:
            continue


def _predicates() -> list[bytes]:
    now = "2026-05-01T12:00:00Z"
    entry = {"key": KEY_ID, "since": now, "reason": "lost", "noted": now}
    account = {
        "account": ADDRESS,
        "accountKey": "12" * 64,
        "issued": "1969-05-01T12:00:00Z",
        "signature": "0x" + "1" * 130,
    }
    return [canonical_json({"entries": [entry]}), canonical_json(account)]


def _block() -> tuple[Block, str]:
    event = anchored_event(ADDRESS, bytes(32), ADDRESS)
    log = {"address": ADDRESS, "topics": ["0x" + topic.hex() for topic in event.topics], "data": "0x"}
    answer = {
        "logs": [log],
        "status": "0x1",
        "cumulativeGasUsed": "0x5208",
        "logsBloom": "0x" + "00" * 256,
        "type": "0x2",
    }
    names = ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom",
             "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce")  # fmt: skip
    fields = {name: HASH for name in names} | {"number": "0x1", "timestamp": "0x2", "difficulty": "0x0"}
    mined = MinedReceipt(HASH, encode_receipt(answer), 21000, (event,))
    return Block(HASH, 2, encode_header(fields), (mined,)), json.dumps(fields | {"hash": HASH, "transactions": []})


def _evidence(data: bytes) -> None:
    header, *proof = data.split(b"\xfe\xfe\xfe")
    number = data[0] if data else 0
    Evidence(header, number, tuple(proof)).check(anchored_event(ADDRESS, bytes(32), ADDRESS), 1, 2)


def _evidences() -> list[bytes]:
    import rlp
    from trie import HexaryTrie

    block, _ = _block()
    trie = HexaryTrie({})
    trie[rlp.encode(0)] = block.receipts[0].encoded
    proof = [rlp.encode(node) for node in trie.get_proof(rlp.encode(0))]
    deep = b""
    for _ in range(40):
        deep = rlp.encode([rlp.decode(deep)] if deep else [])
    return [b"\xfe\xfe\xfe".join([block.header, *proof]), deep + b"\xfe\xfe\xfe" + deep]


class _NoChain(EmbeddedChain):
    """A chain that says what it is told."""

    def __init__(self) -> None:
        pass


def _anchor(file: Path) -> None:
    path = file.with_name(file.name.removesuffix(".anchor.json"))
    anchor = read_anchor(path)
    anchor.to_bytes()
    datetime.fromtimestamp(anchor.receipt.time, UTC)
    judge_anchor(path, anchor.content, anchor.payload, None)


def _anchors() -> list[bytes]:
    digest = hash_bytes(b"x")
    leaf = leaf_hash(digest, digest)
    block, _ = _block()
    evidence = Evidence(block.header, 0, (b"\x01",))
    chain = ChainIdentity(31337, HASH)
    found = [Receipt(leaf, chain, False, ADDRESS, ADDRESS, HASH, 1, 2, None, proof) for proof in (None, evidence)]
    return [Anchor(digest, digest, leaf, (), receipt).to_bytes() for receipt in found]


def _token(file: Path) -> None:
    path = file.with_name(file.name.removesuffix(".token.json"))
    token = read_token(path)
    token.to_bytes()
    judge_token(path, token.content, None)


def _tokens() -> list[bytes]:
    digest, chain = hash_bytes(b"x"), ChainIdentity(31337, HASH)
    return [
        TokenFile(digest, digest, chain, False, ADDRESS, ADDRESS, True, mined, None).to_bytes()
        for mined in (None, Mined(HASH, 1, 2))
    ]


def _contributions() -> list[bytes]:
    entry = {
        "time": "2026-05-01T12:00:00Z",
        "kind": "edit",
        "text": "t",
        "author": "a",
        "content": {"sha256": "12" * 32},
    }
    return [canonical_json({"schema": "contraste-contributions/1", "entries": [entry]})]


def _records() -> list[bytes]:
    return [Record(_origin(kind), ("t.wav",)).to_bytes() for kind in ("track", "report", "dataset", "model")]


def _node(data: bytes) -> None:
    """Ask a node that answers each request with the next of some values."""
    value = parse_json(data, source="answers")
    answers = iter(value if isinstance(value, list) else [value])
    chain = RpcChain("http://127.0.0.1:9", timeout_s=0.1)
    root = bytes(32)

    def answer(*_: object) -> Any:
        return next(answers, None)

    with mock.patch.object(chain._node, "request", answer):
        chain.__dict__["_identity"] = ChainIdentity(31337, HASH)
        event = anchored_event(ADDRESS, root, ADDRESS)
        for ask in (
            lambda: chain.block_of(HASH),
            lambda: chain.block_hash(1),
            lambda: chain.is_final(1),
            lambda: evidence_of(chain._block(1), event),
            lambda: chain._emitted_in(event),
            lambda: chain.lookup(root, contract=ADDRESS),
            lambda: chain.token(hash_bytes(b"x"), ADDRESS),
        ):
            try:
                ask()
            except LedgerError:
                continue


def _answers() -> list[bytes]:
    _, text = _block()
    block = json.loads(text)
    event = anchored_event(ADDRESS, bytes(32), ADDRESS)
    log = {"address": ADDRESS, "topics": ["0x" + topic.hex() for topic in event.topics], "data": "0x"}
    receipt = {
        "transactionHash": HASH, "gasUsed": "0x5208", "logs": [log], "status": "0x1", "cumulativeGasUsed": "0x5208",
        "logsBloom": "0x00", "blockNumber": "0x1",
    }  # fmt: skip
    return [json.dumps(v).encode() for v in ([receipt, block, block, block, [receipt], [receipt], "0x", "0x"], [block])]


def _credential(data: bytes) -> None:
    engine = parse_json(data, source="report")
    file = FOLDER_OF_FILES / "c.mid"
    file.write_bytes(b"MThd")
    with (
        mock.patch.object(credential, "held_store", return_value=b""),
        mock.patch.object(credential, "engine_report", return_value=engine),
        mock.patch.object(credential, "context_of", return_value=None),
    ):
        found = credential.read_credential(file, Trust({}))
        found.assertion(credential.PROVENANCE)
        found.action.get("digitalSourceType")


def _engine_reports() -> list[bytes]:
    manifest = {
        "signature_info": {"common_name": "N", "time": "2026-05-01T12:00:00+00:00", "cert_serial_number": "1"},
        "assertions": [
            {"label": credential.PROVENANCE, "data": {"model": {"name": "m", "sha256": "12"}}},
            {"label": credential.ACTIONS, "data": {"actions": [{"digitalSourceType": "http://x/trained"}]}},
        ],
    }
    results = {"activeManifest": {"success": [{"code": "timeStamp.trusted"}], "failure": []}, "ingredientDeltas": []}
    failed = {"activeManifest": {"failure": [{"code": "signingCredential.untrusted", "explanation": "x"}]}}
    return [
        json.dumps(
            {"active_manifest": "a", "manifests": {"a": manifest}, "validation_results": r, "validation_state": s}
        ).encode()
        for r, s in ((results, "Trusted"), (failed, "Valid"))
    ]


def _store(folder: Path) -> Path:
    """Make a store of one piece; the targets put what they are given in the place of one of its files."""
    notes = {"content_key": "k", "parts": [["p", 0, False, 0, 0]], "tempos": [[0.0, 120.0]], "meters": [[0.0, 4, 4]]}
    known = {"str": "x", "int": 4, "float": 2.0}
    about = {name: known[str(kind)] for name, kind in PieceRecord.__annotations__.items() if str(kind) in known}
    line = about | notes | {"ticks": 480, "remarks": [], "unread": [], "bar_starts": [0.0], "rights": asdict(Rights())}
    return folder if folder.exists() else _made(folder, json.dumps(line).encode() + b"\n")


def _made(folder: Path, line: bytes) -> Path:
    from corpus.segment import KEYS, NOTE, OFFSET, SegmentEntry

    name = "00000-0123456789ab"
    notes = np.array([(0.0, 1.0, 60, 80, 0)], dtype=NOTE)
    arrays = {"notes.npy": notes, "keys.npy": np.zeros(1, KEYS)}
    arrays["offsets.npy"] = np.array([(0, 0), (1, len(line))], dtype=OFFSET)
    (folder / "segments").mkdir(parents=True, exist_ok=True)
    files = write_folder(folder / "segments" / name, {**arrays, "pieces.jsonl": line})
    (folder / "manifest.json").write_bytes(_manifest((SegmentEntry(name, 1, 1, files),)))
    return folder


def _read_store(folder: Path) -> None:
    store = Store.open(folder)
    for row in range(min(len(store.pieces), 3)):
        piece = store.pieces[row]
        f"{piece.path}{piece.title}{piece.artist}"
        store.notes(row)
        with suppress(KeyError):  # no such piece
            store.index_of(piece.path)


def _store_manifest(data: bytes) -> None:
    folder = _store(FOLDER_OF_FILES / "store")
    (folder / "manifest.json").write_bytes(data)
    _read_store(folder)


def _store_line(data: bytes) -> None:
    _read_store(_made(FOLDER_OF_FILES / "lines", data))


def _manifests() -> list[bytes]:
    return [(_store(FOLDER_OF_FILES / "seed") / "manifest.json").read_bytes(), json.dumps({"schema": SCHEMA}).encode()]


def _lines() -> list[bytes]:
    folder = _store(FOLDER_OF_FILES / "seed")
    return [file.read_bytes() for file in folder.glob("segments/*/pieces.jsonl")]


def _recordings(data: bytes) -> None:
    folder = _store(FOLDER_OF_FILES / "sounds")
    manifest, _, lines = data.partition(b"\n\n")
    place = folder / FOLDER / "00000-0123456789ab"
    place.mkdir(parents=True, exist_ok=True)
    (folder / FOLDER / "manifest.json").write_bytes(manifest)
    (place / "recordings.jsonl").write_bytes(lines)
    for sound in open_recordings(Store.open(folder)):
        f"{sound.path}{sound.title}{sound.duration_s + sound.loudness_lufs}"


def _recorded() -> list[bytes]:
    folder = _store(FOLDER_OF_FILES / "sounds") / FOLDER / "00000-0123456789ab"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "mel.npy", np.zeros((2, 128), np.uint8))
    line = {
        "path": "a.wav", "title": "", "artist": "", "file_digest": "12" * 32, "duration_s": 1.0, "loudness_lufs": -20.0,
        "frames": 2, "beat_s": [0.5], "beats_from": "", "score": "", "unread": [], "rights": asdict(Rights()),
    }  # fmt: skip
    lines = json.dumps(line).encode() + b"\n"
    sizes = {"mel.npy": (folder / "mel.npy").stat().st_size, "recordings.jsonl": len(lines)}
    files = {name: {"bytes": size, "sha256": "12" * 32} for name, size in sizes.items()}
    entry = {"name": folder.name, "recordings": 1, "frames": 2, "files": files}
    return [json.dumps({"schema": "contraste-recordings/1", "segments": [entry]}).encode() + b"\n\n" + lines]


def _model(data: bytes) -> None:
    folder = FOLDER_OF_FILES / "model"
    folder.mkdir(exist_ok=True)
    for name in (CONFIG, TRAINING, CANARIES):
        (folder / name).write_bytes(data)
    for read in (read_description, is_spectrogram, held_out_nats, read_canaries):
        try:
            read(folder)
        except GeneratorError:
            continue
    _metrics(folder / TRAINING)


def _models() -> list[bytes]:
    config = {"format": FORMAT, "model": asdict(SIZES["tiny"]), "store_digest": "12" * 32, "artists": ["a"]}
    return [
        json.dumps(config | {"vocabulary_digest": VOCABULARY_DIGEST}).encode(),
        b'{"settings": {}, "validation": {"perplexity": 4.5}, "baseline": {"perplexity": 5}}',
        b'{"seed": 1, "count": 2, "notes": 32}',
    ]


def _rights() -> list[bytes]:
    return [
        b"path,licence,source,consent,isrc,iswc,title,artist\na.mid,CC0,x,granted,,,T,A\nb/*,,,opt_out,,,,\n",
        b'path\n"a\nb"\n[!a-z]?*\n',
    ]


def _read_rights(file: Path) -> None:
    table = read_rights(file)
    table.look_up("a/b.mid")
    table.find_unmatched(["a.mid", "b/c.mid"])


def _waivers() -> list[bytes]:
    text = '[[waiver]]\nfinding = "0123456789abcdef"\nreason = "r"\nwho = "w"\nevidence = "e"\nexpires = 2027-01-01\n'
    return [text.encode(), b"a = [\n1,\n[2],\n]\n[b.c]\nd = {e = 1}\n[[f]]\n"]


def _sequence() -> Any:
    return build([0.0, 1.0], [1.0, 1.0], [60, 64], [80, 80], [0, 0])


def _midis() -> list[bytes]:
    file = FOLDER_OF_FILES / "seed.mid"
    write_midi(_sequence(), file)
    plain = file.read_bytes()
    return [plain, b"RIFF\x00\x00\x00\x00RMID" + plain, plain[:-4] + b"\xf0\x03\x01\x02\xf7\x00\xff\x2f\x00"]


SCORE = b"""<?xml version="1.0"?><score-partwise><part-list><score-part id="P1"><part-name>V</part-name></score-part>
</part-list><part id="P1"><measure number="1"><attributes><divisions>2</divisions><key><fifths>0</fifths></key><time>
<beats>4</beats><beat-type>4</beat-type></time><transpose><chromatic>-2</chromatic></transpose></attributes>
<note><pitch><step>C</step><octave>4</octave></pitch><duration>2</duration><tie type="start"/>
<type>quarter</type></note>
<note><pitch><step>C</step><octave>4</octave></pitch><duration>2</duration><tie type="stop"/><time-modification>
<actual-notes>3</actual-notes><normal-notes>2</normal-notes></time-modification></note><backup><duration>4</duration>
</backup><forward><duration>4</duration></forward><note><rest/><duration>4</duration></note>
<barline><repeat direction="backward" times="2"/></barline></measure></part></score-partwise>"""


def _scores() -> list[bytes]:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("META-INF/container.xml", '<container><rootfile full-path="s.xml"/></container>')
        archive.writestr("s.xml", SCORE)
    return [SCORE, packed.getvalue()]


def _sounds() -> list[bytes]:
    page = b"OggS\0\2" + b"\0" * 8 + b"\1\0\0\0" + b"\0" * 8 + b"\1\4abcd"
    return [
        b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x40\x1f\0\0\x80\x3e\0\0\2\0\x10\0data\4\0\0\0\0\0\0\0",
        page + page.replace(b"\2\0", b"\4\0", 1), b"fLaC\x80\0\0\x22" + b"\0" * 34,
        b"ID3\4\0\0\0\0\0\4abcd\xff\xfb\x90\0",
        b"\0\0\0\x10ftypM4A \0\0\0\0\0\0\0\x08mdat", b"FORM\0\0\0\x10AIFFSSND\0\0\0\4abcd",
        b"caff\0\1\0\0desc\0\0\0\0\0\0\0\4abcddata\xff\xff\xff\xff\xff\xff\xff\xff",
        b".snd\0\0\0\x18\0\0\0\4" + b"\0" * 16,
    ]  # fmt: skip


def _stamps() -> list[bytes]:
    return [bytes.fromhex("30143003020100300d06092a864886f70d010702a000"), b"0\x80", b"\x30\x82\xff\xff"]


def _pems() -> list[bytes]:
    pem = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return [pem, b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"]


def _each(*reads: Callable[[Path], object]) -> Callable[[Path], None]:
    def run(file: Path) -> None:
        for read in reads:
            try:
                read(file)
            except LedgerError:
                continue

    return run


def _text(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    shown = printable(text)
    if not shown.isprintable():
        raise AssertionError(f"{shown!r} steers a terminal")


def _policies() -> Iterator[bytes]:
    return (policy_file(name).read_bytes() for name in PROFILES)


TARGETS: dict[str, Target] = {
    "json": Target(
        lambda data: parse_json(data, source="x"), lambda: [b'{"a": [1, -2.5e3, "\\u00e9\\"", null, true]}']
    ),
    "envelope": Target(Envelope.from_bytes, _envelopes),
    "statement": Target(_statement, _statements),
    "signed": Target(_signed, _predicates),
    "record": Target(_written("r.provenance.json", lambda f: read_record(f.with_name("r"))), _records),
    "anchor": Target(_written("a.anchor.json", _anchor), _anchors),
    "token": Target(_written("t.token.json", _token), _tokens),
    "contributions": Target(
        _written("c.contributions.json", lambda f: read_contributions(f.with_name("c"))), _contributions
    ),
    "metadata": Target(_written("m.nft.json", _metadata), lambda: [b'{"ai_disclosure": {"lyrics": "none"}}']),
    "ddex": Target(
        _written("d.ddex.xml", _ddex), lambda: [b"<SoundRecording><IsAI>true</IsAI></SoundRecording>"], False
    ),
    "evidence": Target(_evidence, _evidences, False),
    "node": Target(_node, _answers),
    "credential": Target(_credential, _engine_reports),
    "timestamp": Target(in_order, _stamps, False),
    "keys": Target(_written("k.pem", _each(load_public, load_certificates)), _pems, False),
    "report": Target(read_report, lambda: [report_json(report())]),
    "store": Target(_store_manifest, _manifests),
    "pieces": Target(_store_line, _lines),
    "recordings": Target(_recordings, _recorded, False),
    "model": Target(_model, _models),
    "rights": Target(_written("rights.csv", _read_rights), _rights, False),
    "policy": Target(_written("p.toml", read_policy), lambda: [*_policies(), *_waivers()], False),
    "waivers": Target(_written("w.toml", lambda f: read_waivers(f, date(2026, 1, 1))), _waivers, False),
    "midi": Target(lambda data: parse_midi(data, "x.mid"), _midis, False),
    "musicxml": Target(lambda data: parse_musicxml(data, "x.xml"), _scores, False),
    "containers": Target(streams, _sounds, False),
    "listing": Target(
        _written("files/any", lambda f: listing(f.parent)), lambda: [*_sounds(), *_midis(), *_scores()], False
    ),
    "text": Target(_text, lambda: [b"a\x1b[2J\n\xe2\x80\xae\xff"], False),
}  # fmt: skip

assert {record_path(Path("r")).name, anchor_file(Path("a")).name, token_file(Path("t")).name} == {
    "r.provenance.json", "a.anchor.json", "t.token.json",
}  # fmt: skip
assert contributions_file(Path("c")).name == "c.contributions.json"
