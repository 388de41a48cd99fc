"""in-toto statements and DSSE envelopes."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.digest import canonical_json, hash_bytes
from ledger.errors import Malformed, SignatureInvalid
from ledger.keys import key_id
from ledger.manifest import Manifest
from ledger.statement import (
    Envelope,
    Material,
    Origin,
    Statement,
    file_statement,
    folder_statement,
    origin_of,
    pre_authentication_encoding,
    sign_statement,
    signed_manifest,
    verify_envelope,
)

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = {key_id(KEY.public_key()): KEY.public_key()}
MODEL = Material("model", "m", hash_bytes(b"model"), "../m")
MANIFEST = Manifest({"b": hash_bytes(b"b"), "a/c": hash_bytes(b"c")})
TRACK = file_statement({"t.mid": hash_bytes(b"t")}, Origin("track", (MODEL,), {"seed": 7}))


def _altered(envelope, **fields):
    return canonical_json(json.loads(envelope.to_bytes()) | fields)


def test_pae_is_that_of_the_dsse_protocol():
    assert pre_authentication_encoding(b"hello") == b"DSSEv1 28 application/vnd.in-toto+json 5 hello"
    assert pre_authentication_encoding(b"") == b"DSSEv1 28 application/vnd.in-toto+json 0 "


def test_signing_is_deterministic_and_verifies_with_the_library_alone():
    envelope = sign_statement(TRACK, KEY)
    assert envelope == sign_statement(TRACK, KEY)
    body = json.loads(envelope.to_bytes())
    payload = base64.b64decode(body["payload"])
    pae = b"DSSEv1 %d %s %d %s" % (
        len(body["payloadType"]),
        body["payloadType"].encode(),
        len(payload),
        payload,
    )
    signature = base64.b64decode(body["signatures"][0]["sig"])
    KEY.public_key().verify(signature, pae, ec.ECDSA(hashes.SHA256()))
    assert verify_envelope(Envelope.from_bytes(envelope.to_bytes()), KEYS) == TRACK


def test_a_folder_statement_has_the_fields_of_model_signing_1_0():
    origin = Origin("model", (Material("dataset", "d", hash_bytes(b"d")),), {"lr": 0.5})
    statement = folder_statement("model", MANIFEST, origin)
    value = json.loads(statement.to_bytes())
    assert value["_type"] == "https://in-toto.io/Statement/v1"
    assert value["predicateType"] == "https://model_signing/signature/v1.0"
    assert value["subject"] == [{"name": "model", "digest": {"sha256": MANIFEST.root.hex}}]
    assert value["predicate"]["resources"] == [
        {"name": "a/c", "digest": hash_bytes(b"c").hex, "algorithm": "sha256"},
        {"name": "b", "digest": hash_bytes(b"b").hex, "algorithm": "sha256"},
    ]
    assert value["predicate"]["serialization"] == {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [],
    }
    assert signed_manifest(statement) == MANIFEST
    assert origin_of(statement) == origin


def test_a_track_statement_is_slsa_provenance():
    predicate = json.loads(TRACK.to_bytes())["predicate"]
    assert TRACK.predicate_type == "https://slsa.dev/provenance/v1"
    assert predicate["buildDefinition"]["externalParameters"] == {"seed": 7}
    (dependency,) = predicate["buildDefinition"]["resolvedDependencies"]
    assert dependency["digest"] == {"sha256": MODEL.digest.hex}
    assert predicate["runDetails"]["builder"]["id"]
    assert origin_of(TRACK) == Origin("track", (MODEL,), {"seed": 7})


@pytest.mark.parametrize("kind", ["report", "file"])
def test_reports_and_files_keep_their_origin(kind):
    origin = Origin(kind, (Material("policy", "p", hash_bytes(b"p")),) if kind == "report" else ())
    statement = file_statement({"r.json": hash_bytes(b"r")}, origin)
    assert origin_of(Statement.from_bytes(statement.to_bytes())) == origin


def test_a_stranger_and_a_wrong_signature_are_told_apart():
    stranger = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(SignatureInvalid, match="not trusted here"):
        verify_envelope(sign_statement(TRACK, stranger), KEYS)
    posing = Envelope(TRACK.to_bytes(), next(iter(KEYS)), sign_statement(TRACK, stranger).signature)
    with pytest.raises(SignatureInvalid, match="does not belong"):
        verify_envelope(posing, KEYS)
    good = sign_statement(TRACK, KEY)
    for payload, signature in (
        (good.payload + b" ", good.signature),
        (good.payload, b""),
        (good.payload, b"junk"),
    ):
        with pytest.raises(SignatureInvalid, match="does not belong"):
            verify_envelope(Envelope(payload, good.keyid, signature), KEYS)


def test_every_flipped_byte_of_an_envelope_is_found():
    data = sign_statement(TRACK, KEY).to_bytes().rstrip(b"\n")
    for index in range(0, len(data), 3):
        for bit in (1, 32):
            changed = bytearray(data)
            changed[index] ^= bit
            with pytest.raises((Malformed, SignatureInvalid)):
                verify_envelope(Envelope.from_bytes(bytes(changed)), KEYS)


ENVELOPE = sign_statement(TRACK, KEY)
ONE = json.loads(ENVELOPE.to_bytes())["signatures"][0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[]", "expected a JSON object"),
        (b"{}", "is absent"),
        (_altered(ENVELOPE, payloadType="application/json"), "payloadType"),
        (_altered(ENVELOPE, extra=1), "'extra' is unknown"),
        (_altered(ENVELOPE, signatures=[]), "0 signatures"),
        (_altered(ENVELOPE, signatures=[ONE, ONE]), "2 signatures"),
        (_altered(ENVELOPE, signatures=[{"sig": ONE["sig"]}]), "'keyid' is absent"),
        (_altered(ENVELOPE, signatures=[ONE | {"keyid": ""}]), "64 lower-case"),
        (_altered(ENVELOPE, payload="not base64!"), "base64"),
        (_altered(ENVELOPE, payload=7), "base64"),
        (_altered(ENVELOPE, payload="QQ=="[:-2]), "base64"),
        (_altered(ENVELOPE, payload="QR=="), "unused bits"),
    ],
)
def test_malformed_envelopes_say_why(data, message):
    with pytest.raises(Malformed, match=message):
        Envelope.from_bytes(data, source="x.sig")


def _resources(**changes):
    good = {"name": "a", "digest": "0" * 64, "algorithm": "sha256"}
    return [good | changes]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resources": _resources(algorithm="md5")}, "md5"),
        ({"resources": _resources(name="../a")}, "relative POSIX path"),
        ({"resources": _resources(digest="00")}, "64 lower-case"),
        ({"resources": _resources() * 2}, "not sorted|stands there twice"),
        ({"resources": _resources()}, "not the root digest"),
        ({"resources": []}, "at least one file"),
        ({"resources": None}, "JSON array"),
        ({"serialization": {"method": "shards"}}, "serialization"),
    ],
)
def test_malformed_folder_predicates_say_why(changes, message):
    good = folder_statement("m", MANIFEST, Origin("model"))
    with pytest.raises(Malformed, match=message):
        signed_manifest(Statement(good.subjects, good.predicate_type, dict(good.predicate) | changes))


def test_a_second_subject_is_refused():
    good = folder_statement("m", MANIFEST, Origin("model"))
    two = Statement(dict(good.subjects) | {"n": MANIFEST.root}, good.predicate_type, good.predicate)
    with pytest.raises(Malformed, match="root digest"):
        signed_manifest(two)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"kind": "song", "name": "x", "digest": {"sha256": "0" * 64}}, "'song'"),
        ({"kind": "model", "name": "", "digest": {"sha256": "0" * 64}}, "may not be empty"),
        ({"kind": "model", "name": 3, "digest": {"sha256": "0" * 64}}, "must be a string"),
        ({"kind": "model", "name": "x", "digest": "0" * 64}, "JSON object"),
        ({"kind": "model", "name": "x", "digest": {"md5": "0"}}, "sha256"),
        ({"kind": "model", "name": "x", "digest": {"sha256": "0" * 64}, "path": "/etc"}, "relative path"),
        ({"kind": ["model"], "name": "x", "digest": {"sha256": "0" * 64}}, "not one of"),
        ({"kind": "model", "name": "x"}, "'digest' is absent"),
    ],
)
def test_malformed_materials_say_why(value, message):
    with pytest.raises(Malformed, match=message):
        Material.from_json(value)


def test_unknown_predicates_and_statements_are_refused():
    with pytest.raises(Malformed, match="unknown here"):
        origin_of(Statement({"a": hash_bytes(b"")}, "https://example.com/p", {}))
    for change, message in (
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "_type"),
        ({"subject": []}, "no subject"),
        ({"predicate": 1}, "predicate an object"),
        ({"subject": [{"name": "/a", "digest": {"sha256": "0" * 64}}]}, "relative POSIX"),
    ):
        with pytest.raises(Malformed, match=message):
            Statement.from_bytes(canonical_json(json.loads(TRACK.to_bytes()) | change))
