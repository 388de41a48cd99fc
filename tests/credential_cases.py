"""Tracks of every format, and ways to alter them: what the tests and the second C2PA engine both judge.

No foreign files: soundfile writes WAV, MP3, FLAC and OGG, and M4A is put together here, box by box (ISO 14496-12).
"""

from __future__ import annotations

import io
import random
import shutil
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from ledger.exchange.c2pa_engine import credential_file
from ledger.exchange.credential_issue import Issuer
from ledger.provenance.record import digest_of, material_of, write_record
from ledger.provenance.sign import sign_path
from ledger.signing.certificates import create_certificates
from ledger.signing.keys import key_id
from ledger.signing.trust import Revocation, Trust

P_256 = ec.SECP256R1()
SOUND = 0.1 * np.sin(np.arange(22050) / 20)
MIDI = bytes.fromhex("4d546864 00000006 0000 0001 0060 4d54726b 0000000c 00903c40 60803c40 00ff2f00")


def sound(kind: str, subtype: str) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, SOUND, 22050, format=kind, subtype=subtype)
    return out.getvalue()


def box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), name) + content


def full_box(name: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return box(name, struct.pack(">I", flags), *parts)


def m4a(frames: int = 20, length: int = 200) -> bytes:
    """One AAC track of `frames` frames of noise: a container that is whole, whatever it would sound like."""
    noise = random.Random(1)
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    decoder = bytes([4, 17, 0x40, 0x15]) + bytes(3) + struct.pack(">II", 64000, 64000) + bytes([5, 2, 0x12, 0x08])
    esds = full_box(b"esds", bytes([3, 25]) + struct.pack(">HB", 1, 0) + decoder + bytes([6, 1, 2]))
    entry = box(b"mp4a", bytes(6), struct.pack(">H8xHHHHI", 1, 1, 16, 0, 0, 44100 << 16), esds)
    file_type, duration = box(b"ftyp", b"M4A \0\0\0\0M4A mp42isom"), frames * 1024

    def movie(at: int) -> bytes:
        table = box(
            b"stbl",
            full_box(b"stsd", struct.pack(">I", 1), entry),
            full_box(b"stts", struct.pack(">III", 1, frames, 1024)),
            full_box(b"stsc", struct.pack(">IIII", 1, 1, frames, 1)),
            full_box(b"stsz", struct.pack(">II", 0, frames), struct.pack(f">{frames}I", *[length] * frames)),
            full_box(b"stco", struct.pack(">II", 1, at)),
        )
        data_info = box(b"dinf", full_box(b"dref", struct.pack(">I", 1), full_box(b"url ", flags=1)))
        handler = full_box(b"hdlr", bytes(4), b"soun", bytes(12), b"sound\0")
        header = full_box(b"mdhd", struct.pack(">IIIIHH", 0, 0, 44100, duration, 0x55C4, 0))
        media = box(b"mdia", header, handler, box(b"minf", full_box(b"smhd", bytes(4)), data_info, table))
        place = struct.pack(">IIIII8xHHHH", 0, 0, 1, 0, duration, 0, 0, 0x100, 0)
        track = box(b"trak", full_box(b"tkhd", place, matrix, bytes(8), flags=7), media)
        rate = struct.pack(">IIIIIH10x", 0, 0, 44100, duration, 0x10000, 0x100)
        return box(b"moov", full_box(b"mvhd", rate, matrix, bytes(24), struct.pack(">I", 2)), track)

    at = len(file_type) + len(movie(0)) + 8
    return file_type + movie(at) + box(b"mdat", *[noise.randbytes(length) for _ in range(frames)])


FILES = {
    "wav": lambda: sound("WAV", "PCM_16"),
    "mp3": lambda: sound("MP3", "MPEG_LAYER_III"),
    "flac": lambda: sound("FLAC", "PCM_16"),
    "m4a": m4a,
    "mid": lambda: MIDI,
    "ogg": lambda: sound("OGG", "VORBIS"),
    "mp4": m4a,
    "midi": lambda: MIDI,
    "oga": lambda: sound("OGG", "VORBIS"),
    "opus": lambda: sound("OGG", "VORBIS"),
    "aif": lambda: sound("AIFF", "PCM_16"),
    "aiff": lambda: sound("AIFF", "PCM_16"),
    "au": lambda: sound("AU", "PCM_16"),
    "caf": lambda: sound("CAF", "PCM_16"),
    "w64": lambda: sound("W64", "PCM_16"),
    "aac": lambda: b"\xff\xf1\x50\x80\x02\x1f\xfc" + bytes(10),
}


class World:
    """A data set, a model, and one signer; `track` gives tracks with their credentials and statements."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chains: dict[str, str] = {}
        self.key, self.chain, self.authority = self.signer("us")
        self.trust = Trust({key_id(self.key.public_key()): self.key.public_key()})
        self.originals: dict[Path, bytes] = {}
        self.store, self.model = folder / "store", folder / "model"
        for made in (self.store, self.model):
            made.mkdir()
            (made / "content").write_bytes(made.name.encode())
        write_record(self.store, "dataset")
        write_record(self.model, "model", materials=[material_of("dataset", self.store, artefact=self.model)])

    def signer(
        self, name: str, curve: ec.EllipticCurve = P_256, **options: Any
    ) -> tuple[ec.EllipticCurvePrivateKey, str, str]:
        """Key, chain and authority of somebody new."""
        key, folder = ec.generate_private_key(curve), self.folder / f"keys-{name}"
        folder.mkdir()
        create_certificates(folder, key.public_key(), **options)
        self.chains[key_id(key.public_key())] = (folder / "certificate.pem").read_text()
        return key, self.chains[key_id(key.public_key())], (folder / "ca.pem").read_text()

    def issuer(self, **options: Any) -> Issuer:
        return Issuer(self.key, self.chain, **options)

    def write(self, kind: str, name: str = "track", content: bytes | None = None) -> Path:
        """Write a track without a credential, recorded as made by the model."""
        path = self.folder / f"{name}.{kind}"
        path.write_bytes(FILES[kind]() if content is None else content)
        self.originals[path] = path.read_bytes()
        write_record(path, "track", materials=[material_of("model", self.model, artefact=path)], parameters={"seed": 7})
        return path

    def track(self, kind: str, name: str = "track", content: bytes | None = None, **options: Any) -> Path:
        path = self.write(kind, name, content)
        self.issuer(**options).issue(path)
        sign_path(path, self.key)
        return path


def holder(path: Path) -> Path:
    return credential_file(path)


def edit(path: Path, old: bytes, new: bytes) -> None:
    """Replace bytes that stand there once or more; the file keeps its length."""
    before = path.read_bytes()
    assert len(old) == len(new)
    assert old in before, old
    path.write_bytes(before.replace(old, new))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def strip(w: World, path: Path) -> None:
    path.write_bytes(w.originals[path])


def sound_of_another(w: World, path: Path) -> None:
    """Keep header and credential, and put the samples of another piece of the same length under them."""
    data = path.read_bytes()
    at = data.index(b"data") + 8
    size = int.from_bytes(data[at - 4 : at], "little")
    path.write_bytes(data[:at] + bytes(reversed(data[at : at + size])) + data[at + size :])


def resign(w: World, path: Path, name: str = "stranger", chain: str = "", *, over: bool = False) -> None:
    """Sign by somebody else, over our credential (which becomes the parent) or on the stripped file."""
    if not over:
        strip(w, path) if holder(path) == path else holder(path).unlink()
    key, own, _ = w.signer(name)
    Issuer(key, own + chain).issue(path)


def expire(w: World, path: Path) -> None:
    """Sign with a certificate that ends in a moment, and wait for it."""
    strip(w, path)
    start_h = 1 / 24  # certificates begin an hour back
    key, chain, _ = w.signer("short", days=start_h + 2.5 / 86400)
    w.trust = Trust({key_id(key.public_key()): key.public_key()})
    Issuer(key, chain).issue(path)
    time.sleep(4)


def stamping(w: World, path: Path) -> None:
    """Sign with a certificate for time stamps, under the authority that is trusted for them."""
    strip(w, path)
    key, chain, authority = w.signer("tsa", purposes=[ExtendedKeyUsageOID.TIME_STAMPING])
    w.trust = Trust({}, roots(authority))
    Issuer(key, chain).issue(path)


def parent_altered(w: World, path: Path) -> None:
    """Alter what stands only in the credential before the last one."""
    w.issuer(mining="allowed").issue(path)
    edit(holder(path), b"notAllowed", b"nowAllowed")


def parent_cut(w: World, path: Path) -> None:
    """Overwrite the credential before the last one, but for its name and size."""
    first = path.read_bytes()
    w.issuer(mining="allowed").issue(path)
    data = path.read_bytes()
    start = data.index(first[first.index(b"cbor", first.index(b"C2PA")) :][:300])
    path.write_bytes(data[:start] + bytes(300) + data[start + 300 :])


def roots(pem: str) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificates(pem.encode()))


def revoke(since: datetime) -> Callable[[World, Path], None]:
    def change(w: World, path: Path) -> None:
        identifier = key_id(w.key.public_key())
        w.trust = Trust(w.trust, w.trust.roots, {identifier: Revocation(identifier, since, "stolen")})

    return change


def namesake_authority(w: World, path: Path) -> None:
    """Trust in an authority that bears the name of the signer's, and has another key."""
    theirs = x509.load_pem_x509_certificate(w.authority.encode())
    key = ec.generate_private_key(ec.SECP256R1())
    made = x509.CertificateBuilder(theirs.subject, theirs.subject, key.public_key(), theirs.serial_number)
    made = made.not_valid_before(theirs.not_valid_before_utc).not_valid_after(theirs.not_valid_after_utc)
    for extension in (e for e in theirs.extensions if isinstance(e.value, x509.BasicConstraints | x509.KeyUsage)):
        made = made.add_extension(extension.value, extension.critical)
    w.trust = Trust({}, (made.sign(key, hashes.SHA256()),))


def second_credential(w: World, path: Path) -> None:
    """Append the credential chunk of the file once more (RIFF)."""
    data = path.read_bytes()
    at = data.index(b"C2PA")
    data += data[at:]
    path.write_bytes(b"RIFF" + struct.pack("<I", len(data) - 8) + data[8:])


def tagged(w: World, path: Path) -> None:
    """Add a tag, as an editor would (RIFF INFO)."""
    data = path.read_bytes() + b"LIST" + struct.pack("<I", 16) + b"INFOINAM" + struct.pack("<I", 4) + b"abc\0"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(data) - 8) + data[8:])


class Case(NamedTuple):
    """What is done to a track of a format, and the verdict on its credential."""

    kind: str
    change: Callable[[World, Path], object]
    verdict: str
    message: str


def _in_credential(old: bytes, new: bytes) -> Callable[[World, Path], None]:
    return lambda w, path: edit(holder(path), old, new)


TAMPER = {
    "wav: one bit of the sound": Case("wav", lambda w, p: flip(p, 5000), "tampered", "dataHash.mismatch"),
    "wav: sample rate in the header": Case("wav", lambda w, p: flip(p, 24), "tampered", "dataHash.mismatch"),
    "wav: sound of another piece": Case("wav", sound_of_another, "tampered", "dataHash.mismatch"),
    "wav: bytes appended": Case("wav", lambda w, p: p.write_bytes(p.read_bytes() + b"more"), "tampered", ""),
    "wav: cut": Case("wav", lambda w, p: p.write_bytes(p.read_bytes()[:-500]), "tampered", "can't be read"),
    "wav: tag added": Case("wav", tagged, "tampered", "dataHash.mismatch"),
    "wav: stripped": Case("wav", strip, "none", "no credential"),
    "wav: a second credential": Case("wav", second_credential, "tampered", ""),
    "wav: emptied": Case("wav", lambda w, p: p.write_bytes(b""), "unreadable", "no trace of a credential"),
    "mp3: one bit of the sound": Case("mp3", lambda w, p: flip(p, -100), "tampered", "dataHash.mismatch"),
    "mp3: bytes appended": Case("mp3", lambda w, p: p.write_bytes(p.read_bytes() + b"more"), "tampered", "dataHash"),
    "mp3: stripped": Case("mp3", strip, "none", "no credential"),
    "flac: one bit of the sound": Case("flac", lambda w, p: flip(p, -100), "tampered", "dataHash.mismatch"),
    "flac: cut": Case("flac", lambda w, p: p.write_bytes(p.read_bytes()[:-50]), "tampered", "dataHash.mismatch"),
    "flac: stripped": Case("flac", strip, "none", "no credential"),
    "m4a: one bit of the sound": Case("m4a", lambda w, p: flip(p, -100), "tampered", "bmffHash.mismatch"),
    "m4a: duration in the header": Case(
        "m4a", lambda w, p: flip(p, p.read_bytes().index(b"mvhd") + 21), "tampered", ""
    ),
    "m4a: stripped": Case("m4a", strip, "none", "no credential"),
    "midi: one note higher": Case(
        "mid", lambda w, p: edit(p, b"\x90\x3c", b"\x90\x3d"), "tampered", "dataHash.mismatch"
    ),
    "midi: bytes appended": Case("mid", lambda w, p: p.write_bytes(MIDI + b"\0"), "tampered", "dataHash.mismatch"),
    "midi: cut": Case("mid", lambda w, p: p.write_bytes(MIDI[:-4]), "tampered", "dataHash.mismatch"),
    "midi: credential removed": Case("mid", lambda w, p: holder(p).unlink(), "none", "no credential"),
    "midi: credential of another": Case(
        "mid",
        lambda w, p: shutil.copy(holder(w.track("mid", "other", MIDI.replace(b"<", b">"))), holder(p)),
        "tampered",
        "dataHash.mismatch",
    ),
    "midi: credential emptied": Case("mid", lambda w, p: holder(p).write_bytes(b""), "tampered", "can't be read"),
    "midi: credential is junk": Case("mid", lambda w, p: holder(p).write_bytes(b"junk" * 99), "tampered", "can't be"),
    "midi: credential cut": Case(
        "mid", lambda w, p: holder(p).write_bytes(holder(p).read_bytes()[:-9]), "tampered", ""
    ),
    "ogg: one bit of the sound": Case("ogg", lambda w, p: flip(p, -100), "tampered", "dataHash.mismatch"),
    "source type rewritten": Case(
        "wav", _in_credential(b"trainedAlgorithmicMedia", b"algorithmicallyEnhanced"), "tampered", "hashedURI.mismatch"
    ),
    "learning from it allowed": Case("mp3", _in_credential(b"notAllowed", b"nowAllowed"), "tampered", "hashedURI"),
    "model renamed": Case("flac", _in_credential(b"model", b"muddle"[:5]), "tampered", "mismatch"),
    "data set's digest altered": Case(
        "mid",
        lambda w, p: edit(holder(p), digest_of(w.store).hex.encode(), digest_of(w.model).hex.encode()),
        "tampered",
        "hashedURI.mismatch",
    ),
    "action renamed": Case("m4a", _in_credential(b"c2pa.created", b"c2pa.dubbed "), "tampered", "mismatch"),
    "the parent's words": Case("mid", parent_altered, "tampered", "mismatch"),
    "the parent cut out": Case("wav", parent_cut, "tampered", ""),
    "claim: title": Case("wav", _in_credential(b"track.wav", b"truck.wav"), "tampered", "claimSignature.mismatch"),
    "signature": Case(
        "mid", lambda w, p: flip(holder(p), holder(p).read_bytes().rindex(b"c2pa.signature") + 30), "tampered", ""
    ),
    "signature's certificate": Case(
        "mid", lambda w, p: flip(holder(p), holder(p).read_bytes().index(b"contraste authority") + 3), "tampered", ""
    ),
    "signed by a stranger": Case("wav", resign, "unknown", "not trusted here"),
    "signed over by a stranger": Case("wav", lambda w, p: resign(w, p, over=True), "unknown", "not trusted here"),
    "a stranger's, beside a MIDI file": Case("mid", resign, "unknown", "not trusted here"),
    "a stranger's, with our certificate behind": Case(
        "wav", lambda w, p: resign(w, p, chain=w.chain), "unknown", "not trusted here"
    ),
    "an authority's namesake": Case("wav", namesake_authority, "unknown", "not trusted here"),
    "nobody is trusted": Case("flac", lambda w, p: setattr(w, "trust", Trust({})), "unknown", "not trusted here"),
    "certificate for time stamps": Case("wav", stamping, "unknown", "not one for claims"),
    "certificate expired": Case("wav", expire, "unknown", "expired"),
    "key revoked": Case("wav", revoke(datetime.now(UTC)), "revoked", "revoked"),
    "key revoked, MIDI": Case("mid", revoke(datetime.now(UTC)), "revoked", "revoked"),
    "key revoked since last year": Case("mp3", revoke(datetime(2020, 1, 1, tzinfo=UTC)), "revoked", "since 2020"),
    "key revoked later, and no time stamp": Case("m4a", revoke(datetime(2099, 1, 1, tzinfo=UTC)), "revoked", "2099"),
}
"""Named ways to alter a track, its credential, or the trust in its signer."""
