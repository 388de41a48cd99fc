"""The tamper matrix: every case is found at its link and with its code, and what is harmless raises no alarm.

One world (store, model, single-file model, track, report, all signed, with the log and a contribution) is made once and
copied for each case. Anchors have their cases in test_ledger_verify.py.
"""

import base64
import hashlib
import json
import os
import shutil
import sqlite3
import unicodedata
from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import NameOID

from ledger.errors import KeyUnusable, LedgerError, SignatureInvalid
from ledger.hashes import hashcache
from ledger.hashes.hashcache import HashCache
from ledger.hashes.manifest import FILES, Manifest
from ledger.provenance.contributions import add_contribution, contributions_file
from ledger.provenance.digests import Digests
from ledger.provenance.record import digest_of, material_of, write_record
from ledger.provenance.sign import sign_path
from ledger.signing import keyring
from ledger.signing.envelope import Envelope, pre_authentication_encoding
from ledger.signing.keys import key_id, public_pem
from ledger.signing.log import TransparencyLog
from ledger.signing.signer import Signer
from ledger.verify import verify_path

KEY, SECOND, STRANGER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
KEY_ID = key_id(KEY.public_key())
MADE_WITH = {"code": {"contraste": "0.1.0"}, "hardware": {"cores": 2}}
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def build(root):
    """Make the world in `root`; CONTRASTE_HOME is its folder home."""
    for name in ("store/notes", "model", "out", "audit", "home"):
        (root / name).mkdir(parents=True)
    for key in (KEY, SECOND):
        keyring.trust_key(key.public_key())
    log = TransparencyLog(root / "home" / "log.sqlite")
    (root / "store/notes/a.bin").write_bytes(b"a piece")
    (root / "store/notes/caf\u00e9.bin").write_bytes(b"one more")
    (root / "store/a.txt").write_bytes(b"text")
    write_record(root / "store", "dataset", parameters={"pieces": 2})
    (root / "model/weights").write_bytes(b"weights")
    (root / "model/config.json").write_bytes(b"{}")
    data = material_of("dataset", root / "store", artefact=root / "model")
    write_record(root / "model", "model", materials=[data], parameters={"seed": 1}, environment=MADE_WITH)
    (root / "single.bin").write_bytes(b"a model in one file")
    track = root / "out/t.mid"
    track.write_bytes(b"notes")
    track.with_suffix(".wav").write_bytes(b"sound")
    model = material_of("model", root / "model", artefact=track)
    write_record(track, "track", materials=[model], parameters={"seed": 7}, environment=MADE_WITH, also=["t.wav"])
    for kind, text in (("prompt", "slow, in G"), ("edit", "bar 3 by hand")):
        add_contribution(track, kind, text, digest_of(track), author="A. Composer")
    (root / "audit/policy.toml").write_bytes(b"limit = 1")
    report = root / "audit/report.json"
    report.write_bytes(b"{}")
    used = {"track": track, "dataset": root / "store", "model": root / "model", "policy": root / "audit/policy.toml"}
    materials = [material_of(kind, path, artefact=report) for kind, path in used.items()]
    write_record(report, "report", materials=materials, parameters={"outcome": "pass"})
    for path in ("store", "model", "single.bin", "out/t.mid", "audit/report.json"):
        sign_path(root / path, KEY, log=log)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = tmp_path_factory.mktemp("template") / "world"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTRASTE_HOME", str(root / "home"))
        build(root)
    return root


@pytest.fixture
def world(template, tmp_path, monkeypatch):
    root = tmp_path / "world"
    shutil.copytree(template, root)
    monkeypatch.setenv("CONTRASTE_HOME", str(root / "home"))
    return root


def verify(world, path, **options):
    log = TransparencyLog(world / "home" / "log.sqlite")
    return verify_path(world / path, keyring.trusted_keys(), log=log, **options)


def test_the_world_is_whole(world):
    for path in ("store", "model", "single.bin", "out/t.mid", "audit/report.json"):
        assert verify(world, path, strict=True).verdict == "ok", verify(world, path).links
    assert [(link.name, link.verdict) for link in verify(world, "audit/report.json").links] == [
        ("report", "ok"), ("track", "ok"), ("run", "ok"), ("contributions", "ok"), ("model", "ok"), ("run", "ok"),
        ("data set", "ok"), ("policy", "ok"), ("anchor", "absent"), ("log", "ok"),
    ]  # fmt: skip


# How to tamper. Each takes the world.


def flip(file):
    def tamper(w):
        data = bytearray((w / file).read_bytes())
        data[len(data) // 2] ^= 1
        (w / file).write_bytes(data)

    return tamper


def write(file, data):
    return lambda w: (w / file).write_bytes(data)


def remove(file):
    return lambda w: (w / file).unlink()


def rename(old, new):
    return lambda w: (w / old).rename(w / new)


def link(file, target):
    return lambda w: ((w / file).unlink(missing_ok=True), (w / file).symlink_to(target))


def both(*steps):
    return lambda w: [step(w) for step in steps]


def swap(w):
    a, b = w / "store/notes/a.bin", w / "store/a.txt"
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)


def bundle(file, change):
    """Change the JSON of a signature file, without a key."""

    def tamper(w):
        value = json.loads((w / file).read_bytes())
        change(value, value["dsseEnvelope"], value["verificationMaterial"])
        (w / file).write_text(json.dumps(value))

    return tamper


def field(file, **changes):
    return bundle(file, lambda value, envelope, _: envelope.update(changes))


def from_another(name):
    """Take a field of the envelope from the signature of another artefact."""
    return lambda w: field("store.sig", **{name: json.loads((w / "model.sig").read_bytes())["dsseEnvelope"][name]})(w)


def longer(payload):
    return base64.b64encode(base64.b64decode(payload) + b" ").decode()


def hint(identifier):
    return bundle(
        "store.sig", lambda v, e, m: (m["publicKey"].update(hint=identifier), e["signatures"][0].pop("keyid"))
    )


def first_dependency(predicate):
    return predicate["buildDefinition"]["resolvedDependencies"][0]


def signed(file, change, key=KEY, encode=pre_authentication_encoding):
    """Change the payload of a signature file, and sign that with a trusted key: a malicious or broken signer."""

    def tamper(w):
        value = json.loads(Envelope.from_bytes((w / file).read_bytes()).payload)
        change(value, value["predicate"])
        payload = json.dumps(value).encode()
        signature = key.sign(encode(payload), ec.ECDSA(hashes.SHA256()))
        (w / file).write_bytes(Envelope(payload, key_id(key.public_key()), signature).to_bytes())

    return tamper


def resources(*names, root=True):
    """Sign other names over the same digests, with the root digest that goes with them."""

    def change(value, predicate):
        old = predicate["resources"]
        predicate["resources"] = [old[i % len(old)] | {"name": name} for i, name in enumerate(names)]
        digests = b"".join(bytes.fromhex(item["digest"]) for item in predicate["resources"])
        if root:
            value["subject"][0]["digest"]["sha256"] = hashlib.sha256(digests).hexdigest()

    return signed("store.sig", change)


def before_1_0(payload):
    return f"DSSEV1 28 application/vnd.in-toto+json {len(payload)} {payload}".encode()


def contributions(change):
    def tamper(w):
        file = contributions_file(w / "out/t.mid")
        value = json.loads(file.read_bytes())
        change(value["entries"])
        file.write_text(json.dumps(value))

    return tamper


def database(*statements):
    def tamper(w):
        with closing(sqlite3.connect(w / "home/log.sqlite")) as log, log:
            for statement in statements:
                log.execute(*statement) if isinstance(statement, tuple) else log.execute(statement)

    return tamper


def head_by(key):
    def tamper(w):
        with closing(sqlite3.connect(w / "home/log.sqlite")) as log, log:
            (data,) = log.execute("SELECT bundle FROM head").fetchone()
            statement = Envelope.from_bytes(data).payload
            signature = key.sign(pre_authentication_encoding(statement), ec.ECDSA(hashes.SHA256()))
            forged = Envelope(statement, key_id(key.public_key()), signature).to_bytes()
            log.execute("UPDATE head SET bundle = ?", (forged,))

    return tamper


def older_head(w):
    with closing(sqlite3.connect(w / "home/log.sqlite")) as log, log:
        (old,) = log.execute("SELECT bundle FROM head").fetchone()
    sign_path(w / "single.bin", SECOND, log=TransparencyLog(w / "home/log.sqlite"))
    database(("UPDATE head SET bundle = ?", (old,)))(w)


def earlier_log(w):
    """Put the log back as it was before the last signature."""
    before = (w / "home/log.sqlite").read_bytes()
    sign_path(w / "single.bin", KEY, log=TransparencyLog(w / "home/log.sqlite"))
    (w / "home/log.sqlite").write_bytes(before)


def replay(w):
    """Put back the content and the record of a track, under the newer signature of another content."""
    before = (w / "single.bin").read_bytes()
    (w / "single.bin").write_bytes(b"a better model")
    sign_path(w / "single.bin", KEY)
    (w / "single.bin").write_bytes(before)


def quietly(w):
    """Overwrite a file that the cache knows, and give it its old size and modification time."""
    cache = HashCache(w / "home/hashes.sqlite")
    Manifest.of_path(w / "store", FILES, cache)
    file = w / "store/notes/a.bin"
    state = file.stat()
    file.write_bytes(b"A PIECE")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))


def revoke(since=0):
    return lambda w: keyring.revoke(
        Signer(KEY), KEY_ID, since=datetime.now(UTC) + timedelta(days=since), reason="stolen"
    )


def self_signed(w):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the label")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, STRANGER.public_key(), 1, now, now + timedelta(days=1))
    sign_path(w / "single.bin", STRANGER, [builder.sign(STRANGER, hashes.SHA256())])


def origin(value):
    """Return what a statement of model signing says of the origin."""
    return value["subject"][0]["annotations"]["contraste"]


def track_named_otherwise(w):
    for suffix in ("", ".sig", ".provenance.json"):
        (w / f"out/t.mid{suffix}").rename(w / f"out/u.mid{suffix}")


GAPS = ("unsigned", "log-incomplete", "link-refused")
"""Codes of what is not there, or can't be looked into: that is not altered, and not well either."""
S, T, R = "store", "out/t.mid", "audit/report.json"

CASES = {
    # files of a folder
    "bit flipped": (flip("store/notes/a.bin"), S, "data set", "content-changed", "changed notes/a.bin"),
    "truncated": (write("store/notes/a.bin", b"a pie"), S, "data set", "content-changed", "changed notes/a.bin"),
    "appended": (write("store/notes/a.bin", b"a piece."), S, "data set", "content-changed", "changed notes/a.bin"),
    "emptied": (write("store/notes/a.bin", b""), S, "data set", "content-changed", "changed notes/a.bin"),
    "deleted": (remove("store/notes/a.bin"), S, "data set", "content-changed", "missing notes/a.bin"),
    "added": (write("store/notes/b.bin", b"b"), S, "data set", "content-changed", "extra notes/b.bin"),
    "empty file added": (write("store/b", b""), S, "data set", "content-changed", "extra b"),
    "hidden file added": (write("store/.b", b"b"), S, "data set", "content-changed", "extra .b"),
    "file hidden in a .git further down": (
        both(lambda w: (w / "store/notes/.git").mkdir(), write("store/notes/.git/x", b"")),
        S, "data set", "content-changed", "extra notes/.git/x",
    ),
    "renamed": (
        rename("store/notes/a.bin", "store/notes/b.bin"), S, "data set", "content-changed",
        "missing notes/a.bin; extra notes/b.bin",
    ),
    "case changed": (
        rename("store/notes/a.bin", "store/notes/A.bin"), S, "data set", "content-changed", "extra notes/A",
    ),
    "other Unicode form": (
        rename("store/notes/caf\u00e9.bin", "store/notes/" + unicodedata.normalize("NFD", "caf\u00e9.bin")),
        S, "data set", "content-changed", "missing notes/caf",
    ),
    "two Unicode forms": (
        write("store/notes/" + unicodedata.normalize("NFD", "caf\u00e9.bin"), b"one more"),
        S, "data set", "path-refused", "differ only in their Unicode form",
    ),
    "moved within": (
        rename("store/notes/a.bin", "store/a.bin"), S, "data set", "content-changed", "missing notes/a.bin",
    ),
    "contents swapped": (swap, S, "data set", "content-changed", "changed a.txt, notes/a.bin"),
    "link added": (link("store/x", "a.txt"), S, "data set", "link-refused", "x is a symlink"),
    "dangling link added": (link("store/x", "nowhere"), S, "data set", "link-refused", "x is a symlink"),
    "file became a link to its copy": (
        both(lambda w: shutil.copy(w / "store/a.txt", w / "copy"), link("store/a.txt", "../copy")),
        S, "data set", "link-refused", "a.txt is a symlink",
    ),
    "link to a folder outside": (link("store/x", "/etc"), S, "data set", "link-refused", "x is a symlink"),
    "named pipe added": (lambda w: os.mkfifo(w / "store/x"), S, "data set", "path-refused", "neither a file nor"),
    "file became a folder": (
        both(remove("store/a.txt"), lambda w: (w / "store/a.txt").mkdir(), write("store/a.txt/x", b"text")),
        S, "data set", "content-changed", "missing a.txt; extra a.txt/x",
    ),
    "name that is not UTF-8": (
        lambda w: open(os.fsencode(w) + b"/store/\xff", "wb").close(), S, "data set", "path-refused", "not UTF-8",
    ),
    "emptied folder": (
        lambda w: (shutil.rmtree(w / "store"), (w / "store").mkdir()), S, "data set", "path-refused", "holds no files",
    ),
    "record edited": (flip("store/provenance.json"), S, "data set", "content-changed", "changed provenance.json"),
    "record removed": (remove("store/provenance.json"), S, "data set", "content-changed", "missing provenance.json"),
    "old time given back": (quietly, S, "data set", "content-changed", "changed notes/a.bin"),
    # single files, tracks, reports
    "single file flipped": (flip("single.bin"), "single.bin", "file", "content-changed", r"changed \."),
    "single file became a folder": (
        both(remove("single.bin"), lambda w: (w / "single.bin").mkdir(), write("single.bin/x", b"a model in one file")),
        "single.bin", "file", "malformed", "the statement is about a file",
    ),
    "record added to a file": (
        lambda w: write_record(w / "single.bin", "model", parameters={"seed": 1}),
        "single.bin", "file", "malformed", "does not say what was signed",
    ),
    "older content under a newer signature": (replay, "single.bin", "file", "content-changed", "not as signed"),
    "track flipped": (flip("out/t.mid"), T, "track", "content-changed", "changed t.mid"),
    "rendering flipped": (flip("out/t.wav"), T, "track", "content-changed", "changed t.wav"),
    "rendering removed": (remove("out/t.wav"), T, "track", "content-changed", "missing t.wav"),
    "track's record edited": (flip("out/t.mid.provenance.json"), T, "track", "content-changed", "changed t.mid.prov"),
    "track's record removed": (
        remove("out/t.mid.provenance.json"), T, "track", "content-changed", "missing t.mid.prov",
    ),
    "track under another name": (track_named_otherwise, "out/u.mid", "track", "malformed", "not about u.mid"),
    "report flipped": (flip(R), R, "report", "content-changed", "changed report.json"),
    "report's record removed": (
        remove(f"{R}.provenance.json"), R, "report", "content-changed", "missing report.json.pro",
    ),
    "policy changed": (flip("audit/policy.toml"), R, "policy", "other-material", "not what was used"),
    "track of a report changed": (flip("out/t.mid"), R, "track", "other-material", "not what was used"),
    "model of a track changed": (flip("model/weights"), T, "model", "other-material", "changed weights"),
    "store of a track changed": (flip("store/a.txt"), T, "data set", "other-material", "changed a.txt"),
    "model changed and signed again": (
        both(flip("model/weights"), lambda w: sign_path(w / "model", KEY)),
        T, "model", "other-material", "changed and signed again",
    ),
    # bundles
    "signature is no JSON": (write("store.sig", b"\0"), S, "data set", "malformed", "not valid JSON"),
    "signature is empty": (write("store.sig", b""), S, "data set", "malformed", "not valid JSON"),
    "signature is a folder": (
        both(remove("store.sig"), lambda w: (w / "store.sig").mkdir()), S, "data set", "path-refused", "not a regular",
    ),
    "signature removed": (remove("store.sig"), S, "data set", "unsigned", "there is no"),
    "media type": (
        bundle("store.sig", lambda v, e, m: v.update(mediaType="application/json")),
        S, "data set", "malformed", "mediaType",
    ),
    "unknown field of the bundle": (
        bundle("store.sig", lambda v, e, m: v.update(note=1)), S, "data set", "malformed", "'note' is unknown",
    ),
    "unknown field of the envelope": (field("store.sig", note=1), S, "data set", "malformed", "'note' is unknown"),
    "payload type": (field("store.sig", payloadType="text/plain"), S, "data set", "malformed", "payloadType"),
    "second signature": (
        bundle("store.sig", lambda v, e, m: e["signatures"].append({"sig": "AAAA"})),
        S, "data set", "malformed", "2 signatures",
    ),
    "no signature": (field("store.sig", signatures=[]), S, "data set", "malformed", "0 signatures"),
    "junk signature": (
        field("store.sig", signatures=[{"sig": "AAAA"}]), S, "data set", "signature-invalid", "not belong",
    ),
    "empty signature": (field("store.sig", signatures=[{"sig": ""}]), S, "data set", "signature-invalid", "not belong"),
    "signature of another statement": (
        from_another("signatures"),
        S, "data set", "signature-invalid", "not belong",
    ),
    "payload of another statement": (
        from_another("payload"),
        S, "data set", "signature-invalid", "not belong",
    ),
    "payload with a blank more": (
        bundle("store.sig", lambda v, e, m: e.update(payload=longer(e["payload"]))),
        S, "data set", "signature-invalid", "not belong",
    ),
    "base64 with a line break": (
        bundle("store.sig", lambda v, e, m: e.update(payload=e["payload"][:8] + "\n" + e["payload"][8:])),
        S, "data set", "malformed", "not standard base64",
    ),
    "base64 with unused bits": (field("store.sig", payload="QR=="), S, "data set", "malformed", "unused bits"),
    "a name twice in the JSON": (
        lambda w: (w / "store.sig").write_text('{"mediaType": 1,' + (w / "store.sig").read_text()[1:]),
        S, "data set", "malformed", "stands twice",
    ),
    "hint removed": (
        bundle("store.sig", lambda v, e, m: m["publicKey"].clear()), S, "data set", "malformed", "signer is not named",
    ),
    "hint of another trusted key": (
        hint(key_id(SECOND.public_key())),
        S, "data set", "signature-invalid", "not belong",
    ),
    "hint of an unknown key": (
        hint("0" * 64),
        S, "data set", "signer-unknown", "not trusted here",
    ),
    "key id and hint differ": (
        bundle("store.sig", lambda v, e, m: m["publicKey"].update(hint="0" * 64)), S, "data set", "malformed", "keyid",
    ),
    "whole key of a stranger": (
        bundle("store.sig", lambda v, e, m: (
            m.update(publicKey={"rawBytes": base64.b64encode(public_pem(STRANGER.public_key())).decode()}),
            e["signatures"][0].pop("keyid"),
        )),
        S, "data set", "signer-unknown", "not trusted here",
    ),
    "entry of a public log": (
        bundle("store.sig", lambda v, e, m: m.update(tlogEntries=[{"logIndex": "1"}])),
        S, "data set", "malformed", "check it",
    ),
    "bundle of 100 MB": (write("store.sig", b" " * (100 << 20)), S, "data set", "malformed", "more than the limit"),
    "bundle of 10,000 levels": (
        write("store.sig", b'{"a":' * 10_000 + b"1" + b"}" * 10_000), S, "data set", "malformed", "nested deeper",
    ),
    "payload of 10,000 levels": (
        signed("store.sig", lambda v, p: p.update(deep=json.loads("[" * 900 + "]" * 900))),
        S, "data set", "malformed", "nested",
    ),
    "signed by a stranger": (
        lambda w: sign_path(w / "store", STRANGER), S, "data set", "signer-unknown", "not trusted",
    ),
    "signed on another curve": (
        lambda w: sign_path(w / "store", ec.generate_private_key(ec.SECP384R1())),
        S, "data set", "signer-unknown", "not trusted",
    ),
    "self-signed certificate": (
        self_signed, "single.bin", "file", "signer-unknown", "no certificate authority is trusted",
    ),
    "encoding before 1.0": (
        signed("store.sig", lambda v, p: None, encode=before_1_0), S, "data set", "signature-invalid", "not belong",
    ),
    "statement of another kind": (
        lambda w: shutil.copy(w / "store.sig", w / "model.sig"), T, "model", "wrong-kind", "signed as a data set",
    ),
    # statements that a trusted key signed
    "two subjects": (
        signed("store.sig", lambda v, p: v["subject"].append(v["subject"][0] | {"name": "b"})),
        S, "data set", "malformed", "root digest",
    ),
    "no subject": (signed("store.sig", lambda v, p: v["subject"].clear()), S, "data set", "malformed", "no subject"),
    "wrong root digest": (
        signed("store.sig", lambda v, p: v["subject"][0]["digest"].update(sha256="0" * 64)),
        S, "data set", "malformed", "root digest",
    ),
    "unsorted names": (resources("notes/b", "a.txt", "c", "d"), S, "data set", "malformed", "not sorted"),
    "a name twice": (resources("a", "a", "b", "c"), S, "data set", "malformed", "stands there twice"),
    "a name that leaves the folder": (resources("../a", "a", "b", "c"), S, "data set", "malformed", "relative POSIX"),
    "an absolute name": (resources("/a", "a", "b", "c"), S, "data set", "malformed", "relative POSIX"),
    "a name with a dot": (resources("./a", "a", "b", "c"), S, "data set", "malformed", "relative POSIX"),
    "names in two Unicode forms": (
        resources("cafe\u0301", "caf\u00e9", "d", "e"), S, "data set", "malformed", "Unicode form",
    ),
    "no resources": (
        signed("store.sig", lambda v, p: p["resources"].clear()), S, "data set", "malformed", "at least one",
    ),
    "other hash": (
        signed("store.sig", lambda v, p: p["serialization"].update(hash_type="md5")), S, "data set", "malformed", "md5",
    ),
    "hash of one resource": (
        signed("store.sig", lambda v, p: p["resources"][0].update(algorithm="md5")), S, "data set", "malformed", "md5",
    ),
    "shards that are none": (
        signed("store.sig", lambda v, p: p["serialization"].update(method="shards", shard_size=5)),
        S, "data set", "malformed", "name of a shard",
    ),
    "left out what is not there": (
        signed("store.sig", lambda v, p: p["serialization"].update(ignore_paths=["../x"])),
        S, "data set", "malformed", "relative POSIX",
    ),
    "other predicate": (
        signed("store.sig", lambda v, p: v.update(predicateType="https://example.com/x")),
        S, "data set", "malformed", "says nothing",
    ),
    "older statement type": (
        signed("store.sig", lambda v, p: v.update(_type="https://in-toto.io/Statement/v0.1")),
        S, "data set", "malformed", "_type",
    ),
    "annotations that are no object": (
        signed("store.sig", lambda v, p: v["subject"][0].update(annotations=[])),
        S, "data set", "malformed", "are no JSON object",
    ),
    "unknown field of the statement": (
        signed("store.sig", lambda v, p: v.update(x=1)), S, "data set", "malformed", "'x'",
    ),
    "other parameters than the record": (
        signed("store.sig", lambda v, p: origin(v)["parameters"].update(pieces=3)),
        S, "data set", "malformed", "not say what",
    ),
    "other kind than the record": (
        signed("store.sig", lambda v, p: origin(v).update(kind="folder")), S, "folder", "malformed", "not say what",
    ),
    "other seed than the track's record": (
        signed("out/t.mid.sig", lambda v, p: p["buildDefinition"]["externalParameters"].update(seed=8)),
        T, "track", "malformed", "not say what",
    ),
    "other model than the track's record": (
        signed("out/t.mid.sig", lambda v, p: first_dependency(p)["digest"].update(sha256="0" * 64)),
        T, "track", "malformed", "not say what",
    ),
    "other build type": (
        signed("out/t.mid.sig", lambda v, p: p["buildDefinition"].update(buildType="x")),
        T, "track", "malformed", "buildType",
    ),
    "outcome that is none": (
        signed(f"{R}.sig", lambda v, p: p["parameters"].update(outcome="splendid")),
        R, "report", "malformed", "audit-report-v1",
    ),
    "model signing for a track": (
        lambda w: shutil.copy(w / "single.bin.sig", w / "out/t.mid.sig"), R, "track", "content-changed", "changed",
    ),
    # the run of a model
    "run statement flipped": (flip("model.run.sig"), "model", "run", None, r"model\.run\.sig"),
    "run of another model": (
        lambda w: shutil.copy(w / "model.sig", w / "model.run.sig"), "model", "run", "malformed", "not about",
    ),
    "run with another seed": (
        signed("model.run.sig", lambda v, p: p["buildDefinition"]["externalParameters"].update(seed=2)),
        "model", "run", "malformed", "another run",
    ),
    "run with other hardware": (
        signed("model.run.sig", lambda v, p: p["buildDefinition"]["internalParameters"].update(cores=64)),
        "model", "run", "malformed", "another run",
    ),
    "run signed by another": (
        signed("model.run.sig", lambda v, p: None, key=SECOND), "model", "run", "malformed", "another key",
    ),
    "run signed by a stranger": (
        signed("model.run.sig", lambda v, p: None, key=STRANGER), "model", "run", "signer-unknown", "not trusted",
    ),
    # what people did
    "contribution edited": (
        contributions(lambda e: e[0].update(text="fast, in D")),
        T, "contributions", "content-changed", "not begin with the 2",
    ),
    "contribution dated back": (
        contributions(lambda e: e[0].update(time="2020-01-01T00:00:00Z")),
        T, "contributions", "content-changed", "not begin",
    ),
    "contribution by another": (
        contributions(lambda e: e[0].update(author="B")), T, "contributions", "content-changed", "not begin",
    ),
    "contribution taken away": (contributions(lambda e: e.pop()), T, "contributions", "content-changed", "not begin"),
    "contributions in another order": (
        contributions(lambda e: e.reverse()), T, "contributions", "content-changed", "not begin",
    ),
    "contributions removed": (
        remove("out/t.mid.contributions.json"), T, "contributions", "content-changed", "not begin",
    ),
    "contributions that break the schema": (
        contributions(lambda e: e[0].update(kind="magic")), T, "contributions", "malformed", "contributions-v1",
    ),
    "contributions without a signature": (
        remove("out/t.mid.contributions.sig"), T, "contributions", "unsigned", "there is no",
    ),
    "contribution after signing": (
        lambda w: add_contribution(w / T, "selection", "the second take", digest_of(w / T)),
        T, "contributions", "unsigned", "1 of 3 entries are not signed",
    ),
    "contributions to another track": (
        signed("out/t.mid.contributions.sig", lambda v, p: v["subject"][0]["digest"].update(sha256="0" * 64)),
        T, "contributions", "malformed", "not about",
    ),
    # keys
    "key revoked": (revoke(), S, "key", "key-revoked", "stolen"),
    "key revoked for the past": (revoke(-30), S, "key", "key-revoked", "nothing trusted shows"),
    "key no longer trusted": (remove(f"home/trusted/{KEY_ID}.pem"), S, "data set", "signer-unknown", "not trusted"),
    "trusted key exchanged": (
        lambda w: (w / f"home/trusted/{KEY_ID}.pem").write_bytes(public_pem(STRANGER.public_key())),
        S, "data set", "signer-unknown", "not trusted",
    ),
    # the log
    "log entry altered": (
        database("""UPDATE entries SET leaf = replace(leaf, '"time":"2', '"time":"1') WHERE position = 0"""),
        S, "log", "log-broken", "do not agree",
    ),
    "last log entry taken out": (
        database("DELETE FROM entries WHERE position = (SELECT max(position) FROM entries)"),
        S, "log", "log-incomplete", "were signed",
    ),
    "log entry taken out of the middle": (
        database("DELETE FROM entries WHERE position = 1"), S, "log", "log-incomplete", "some were taken out",
    ),
    "all log entries taken out": (
        database("DELETE FROM entries", "DELETE FROM nodes"), S, "log", "log-incomplete", "were signed",
    ),
    "log put back as it was earlier": (earlier_log, S, "log", "log-incomplete", "were signed"),
    "log deleted": (remove("home/log.sqlite"), S, "log", "log-incomplete", "says that there was one"),
    "log entry added": (
        database("INSERT INTO entries SELECT position + 100, payload, leaf FROM entries WHERE position = 0"),
        S, "log", "log-broken", "taken out or added",
    ),
    "log entries exchanged": (
        database(
            "UPDATE entries SET leaf = (SELECT leaf FROM entries WHERE position = 1) WHERE position = 0",
        ),
        S, "log", "log-broken", "do not agree",
    ),
    "log hash altered": (
        database("UPDATE nodes SET hash = zeroblob(32) WHERE level = 0 AND position = 1"),
        S, "log", "log-broken", "do not agree",
    ),
    "log hash taken out": (
        database("DELETE FROM nodes WHERE level = 1 AND position = 1"), S, "log", "log-broken", "do not agree",
    ),
    "log entry filed for another": (
        database("UPDATE entries SET payload = (SELECT payload FROM entries WHERE position = 0) WHERE position = 4"),
        S, "log", "log-broken", "digest of another statement",
    ),
    "log entry that is no JSON": (
        database("UPDATE entries SET leaf = x'00' WHERE position = 0"), S, "log", "log-broken", "do not agree",
    ),
    "log head taken out": (database("DELETE FROM head"), S, "log", "log-broken", "no signed tree head"),
    "log head of a stranger": (head_by(STRANGER), S, "log", "log-broken", "signed by another key"),
    "older log head": (older_head, S, "log", "log-broken", "signed by another key"),
    "log is no database": (write("home/log.sqlite", b"junk" * 4096), S, "log", "log-broken", "damaged"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_tampering_is_found_at_its_link_with_its_code(world, case, monkeypatch):
    monkeypatch.setattr(hashcache, "SETTLING_NS", 0)
    tamper, path, name, code, message = CASES[case]
    tamper(world)
    found = verify(world, path, digests=Digests(HashCache(world / "home/hashes.sqlite")))
    assert found.verdict == ("incomplete" if code in GAPS else "broken"), found.links
    assert found.fault.name == name, found.links
    if code is not None:
        assert found.fault.code == code, found.fault
    with pytest.raises(LedgerError, match=message):
        raise LedgerError(found.fault.detail)


def test_there_are_enough_cases():
    assert len(CASES) >= 80
    assert len(BENIGN) >= 30


@pytest.mark.parametrize(
    ("tamper", "error", "message"),
    [
        (flip(f"home/trusted/{KEY_ID}.pem"), KeyUnusable, "not a PEM public key|not a key on one"),
        (both(revoke(), lambda w: _reseal(w, STRANGER)), SignatureInvalid, "not trusted"),
        (both(revoke(), lambda w: _reseal(w, KEY, forget=True)), SignatureInvalid, "not belong"),
    ],
    ids=["trusted key damaged", "revocation list of a stranger", "revocation list emptied"],
)
def test_damaged_trust_is_no_trust(world, tamper, error, message):
    tamper(world)
    with pytest.raises(error, match=message):
        verify(world, S)


def _reseal(w, key, forget=False):
    """Sign the revocation list with another key, or empty it under the old signature."""
    file = w / f"home/revoked/{KEY_ID}.sig"
    old = Envelope.from_bytes(file.read_bytes())
    if forget:
        value = json.loads(old.payload)
        value["predicate"]["entries"] = []
        file.write_bytes(Envelope(json.dumps(value).encode(), old.keyid, old.signature).to_bytes())
    else:
        signature = key.sign(pre_authentication_encoding(old.payload), ec.ECDSA(hashes.SHA256()))
        file.write_bytes(Envelope(old.payload, key_id(key.public_key()), signature).to_bytes())


def test_what_a_signature_leaves_out_is_named_and_refused_when_strict(world):
    signed("store.sig", lambda v, p: (
        p["serialization"].update(ignore_paths=["notes"]),
        p.update(resources=[r for r in p["resources"] if not r["name"].startswith("notes")]),
        v["subject"][0]["digest"].update(
            sha256=hashlib.sha256(b"".join(bytes.fromhex(r["digest"]) for r in p["resources"])).hexdigest()
        ),
    ))(world)  # fmt: skip
    flip("store/notes/a.bin")(world)
    (kept,) = [link for link in verify(world, S).links if link.name == "data set"]
    assert (kept.verdict, kept.code) == ("ok", "not-covered")
    assert "leaves out notes" in kept.detail
    assert verify(world, S, strict=True).fault.code == "not-covered"


# What changes nothing.


def reserialised(file):
    def change(w):
        value = json.loads((w / file).read_bytes())
        (w / file).write_text(json.dumps(dict(reversed(value.items())), indent=4) + "\n\n")

    return change


def malleate(w):
    """Turn (r, s) into (r, n - s), which verifies as well; so signature bytes identify nothing."""
    envelope = Envelope.from_bytes((w / "store.sig").read_bytes())
    r, s = decode_dss_signature(envelope.signature)
    other = encode_dss_signature(r, P256_ORDER - s)
    (w / "store.sig").write_bytes(Envelope(envelope.payload, envelope.keyid, other).to_bytes())


def plain_sort(value, predicate):
    predicate["resources"].sort(key=lambda item: item["name"])
    digests = b"".join(bytes.fromhex(item["digest"]) for item in predicate["resources"])
    value["subject"][0]["digest"]["sha256"] = hashlib.sha256(digests).hexdigest()


def old_times(w):
    for file in w.rglob("*"):
        os.utime(file, (0, 0))


def sign_more(key):
    def sign(w):
        for number in range(5):
            (w / f"other{number}").write_bytes(bytes([number]))
            sign_path(w / f"other{number}", key, log=TransparencyLog(w / "home/log.sqlite"))

    return sign


def archive(w):
    (w / "archive").mkdir()
    for name in ("model", "model.sig", "model.run.sig", "store", "store.sig"):
        (w / name).rename(w / "archive" / name)
    return {"search": [w / "archive"]}


def renamed_artefact(w):
    for suffix in ("", ".sig"):
        (w / f"single.bin{suffix}").rename(w / f"renamed.bin{suffix}")


def forget(w):
    """Take the log away with all that tells of it: another machine."""
    shutil.rmtree(w / "home/heads")
    (w / "home/log.sqlite").unlink()


def moved(w):
    """Rename the folder above everything, and look at it there."""
    shutil.move(w, w.with_name("moved"))
    os.environ["CONTRASTE_HOME"] = str(w.with_name("moved") / "home")
    return {"at": w.with_name("moved")}


def copied(w):
    shutil.copytree(w, w.with_name("copied"))
    return {"at": w.with_name("copied")}


def linked(w):
    w.with_name("link").symlink_to(w)
    return {"at": w.with_name("link")}


BENIGN = {
    "nothing": lambda w: None,
    "parent renamed": moved,
    "copied, new inodes": copied,
    "reached through a link": linked,
    "artefact renamed with its signature": both(
        rename("store", "corpus"), rename("store.sig", "corpus.sig"), lambda w: {"search": [w]}
    ),
    "single file renamed with its signature": both(renamed_artefact, lambda w: {"path": "renamed.bin"}),
    "materials moved to an archive": archive,
    "old times": old_times,
    "new times": lambda w: [os.utime(file) for file in w.rglob("*")],
    "read-only files": lambda w: [file.chmod(0o444) for file in (w / "store").rglob("*.*")],
    "executable file": lambda w: (w / "store/a.txt").chmod(0o755),
    "empty folder in the store": lambda w: (w / "store/new/empty").mkdir(parents=True),
    "file rewritten with the same bytes": write("store/notes/a.bin", b"a piece"),
    "file replaced by a hard link to its copy": lambda w: (
        shutil.copy(w / "store/a.txt", w / "copy"), (w / "store/a.txt").unlink(), os.link(w / "copy", w / "store/a.txt")
    ),
    "neighbour of the track": write("out/u.mid", b"another"),
    "neighbour of the store": lambda w: (w / "store2").mkdir(),
    "store's bundle re-serialised": reserialised("store.sig"),
    "track's bundle re-serialised": reserialised("out/t.mid.sig"),
    "report's bundle re-serialised": reserialised(f"{R}.sig"),
    "run's bundle re-serialised": reserialised("model.run.sig"),
    "contributions re-serialised": reserialised("out/t.mid.contributions.json"),
    "contributions' bundle re-serialised": reserialised("out/t.mid.contributions.sig"),
    "key id left out of the envelope": bundle("store.sig", lambda v, e, m: e["signatures"][0].pop("keyid")),
    "empty key id, as other tools write": bundle("store.sig", lambda v, e, m: e["signatures"][0].update(keyid="")),
    "no list of log entries": bundle("store.sig", lambda v, e, m: m.pop("tlogEntries")),
    "whole key instead of a hint": bundle(
        "store.sig",
        lambda v, e, m: m.update(publicKey={"rawBytes": base64.b64encode(public_pem(KEY.public_key())).decode()}),
    ),
    "the other signature of a pair": malleate,
    "signed again": lambda w: sign_path(w / "store", KEY),
    "signed again by another trusted key": lambda w: sign_path(w / "store", SECOND),
    "names sorted as plain text": signed("store.sig", plain_sort),
    "annotated subject": signed("store.sig", lambda v, p: v["subject"][0]["annotations"].update(by="us")),
    "further predicate key": signed("store.sig", lambda v, p: p.update(theirs={"card": 1})),
    "no contributions, where nothing says that there were": both(
        remove("out/t.mid.contributions.json"), remove("out/t.mid.contributions.sig"), forget,
    ),
    "no log here": forget,
    "git's own files": both(
        lambda w: (w / "store/.git").mkdir(), write("store/.git/HEAD", b"ref"), write("store/.gitignore", b"*.tmp"),
    ),
    "more in the log": sign_more(SECOND),
    "more in the log by a key that is not trusted": sign_more(STRANGER),
    "one more trusted key": lambda w: keyring.trust_key(STRANGER.public_key()),
    "another key revoked": lambda w: keyring.revoke(
        Signer(SECOND), key_id(SECOND.public_key()), since=datetime.now(UTC), reason="lost"
    ),
    "cache damaged": write("home/hashes.sqlite", b"junk" * 4096),
    "policy not at hand": remove("audit/policy.toml"),
    "run statement not at hand, where nothing says that there was one": both(remove("model.run.sig"), forget),
}  # fmt: skip


@pytest.mark.parametrize("case", BENIGN)
def test_what_is_harmless_raises_no_alarm(world, case, monkeypatch):
    monkeypatch.setattr(hashcache, "SETTLING_NS", 0)
    cache = HashCache(world / "home/hashes.sqlite")
    Manifest.of_path(world / "store", FILES, cache)
    options = BENIGN[case](world)
    options = (options[-1] if isinstance(options, list) and options else options) or {}
    options = options if isinstance(options, dict) else {}
    root = options.get("at", world)
    path = options.get("path", R)
    digests = Digests(HashCache(root / "home/hashes.sqlite"))
    found = verify(root, path, search=options.get("search", ()), digests=digests)
    assert found.verdict == "ok", found.links


def test_signing_with_a_hardware_like_key_needs_its_two_methods_only(world):
    class Module:
        public_key = staticmethod(KEY.public_key)

        @staticmethod
        def sign(data, signature_algorithm):
            assert isinstance(signature_algorithm.algorithm, hashes.SHA256)
            return KEY.sign(data, ec.ECDSA(hashes.SHA256()))

    sign_path(world / S, Module())
    assert verify(world, S).verdict == "ok"
