"""in-toto statements and DSSE envelopes."""

import base64
import hashlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.errors import KeyUnusable, Malformed, SignatureInvalid, SignerUnknown
from ledger.hashes.digest import Digest, canonical_json, hash_bytes
from ledger.hashes.manifest import Manifest, Method
from ledger.signing.envelope import BUNDLE_TYPE, Envelope, pre_authentication_encoding, sign_statement
from ledger.signing.keys import key_id, public_pem
from ledger.signing.predicates import content_statement, file_statement, origin_of, run_statement, signed_manifest
from ledger.signing.statement import Material, Origin, Statement
from ledger.signing.trust import Trust, verify_envelope

KEY = ec.generate_private_key(ec.SECP256R1())
KEYS = Trust({key_id(KEY.public_key()): KEY.public_key()})
MODEL = Material("model", "m", hash_bytes(b"model"), "../m")
MANIFEST = Manifest({"b": hash_bytes(b"b"), "a/c": hash_bytes(b"c")})
MADE_WITH = {"code": {"contraste": "0.1.0"}, "hardware": {"cores": 2}}
TRACK = file_statement({"t.mid": hash_bytes(b"t")}, Origin("track", (MODEL,), {"seed": 7}, MADE_WITH))


def _altered(envelope: Envelope, **fields: Any) -> bytes:
    """Return the bundle with other fields in its envelope."""
    bundle = json.loads(envelope.to_bytes())
    return canonical_json(bundle | {"dsseEnvelope": bundle["dsseEnvelope"] | fields})


def _bundle(envelope: Envelope, **fields: Any) -> bytes:
    return canonical_json(json.loads(envelope.to_bytes()) | fields)


def test_pae_is_that_of_the_dsse_protocol() -> None:
    assert pre_authentication_encoding(b"hello") == b"DSSEv1 28 application/vnd.in-toto+json 5 hello"
    assert pre_authentication_encoding(b"") == b"DSSEv1 28 application/vnd.in-toto+json 0 "


def test_signing_is_deterministic_and_verifies_with_the_library_alone() -> None:
    envelope = sign_statement(TRACK, KEY)
    assert envelope == sign_statement(TRACK, KEY)
    bundle = json.loads(envelope.to_bytes())
    assert bundle["mediaType"] == "application/vnd.dev.sigstore.bundle.v0.3+json"
    assert bundle["verificationMaterial"] == {"publicKey": {"hint": next(iter(KEYS))}, "tlogEntries": []}
    body = bundle["dsseEnvelope"]
    payload = base64.b64decode(body["payload"])
    pae = b"DSSEv1 %d %s %d %s" % (len(body["payloadType"]), body["payloadType"].encode(), len(payload), payload)
    signature = base64.b64decode(body["signatures"][0]["sig"])
    KEY.public_key().verify(signature, pae, ec.ECDSA(hashes.SHA256()))
    assert verify_envelope(Envelope.from_bytes(envelope.to_bytes()), KEYS) == TRACK


def test_a_folder_statement_has_the_fields_of_model_signing_1_0() -> None:
    origin = Origin("model", (Material("dataset", "d", hash_bytes(b"d")),), {"lr": 0.5})
    statement = content_statement("model", MANIFEST, origin)
    value = json.loads(statement.to_bytes())
    assert value["_type"] == "https://in-toto.io/Statement/v1"
    assert value["predicateType"] == "https://model_signing/signature/v1.0"
    (subject,) = value["subject"]
    assert (subject["name"], subject["digest"]) == ("model", {"sha256": MANIFEST.root.hex})
    assert subject["annotations"] == {"contraste": origin.to_json()}
    assert set(value["predicate"]) == {"resources", "serialization"}  # its schema allows no more
    assert value["predicate"]["resources"] == [
        {"name": "a/c", "digest": hash_bytes(b"c").hex, "algorithm": "sha256"},
        {"name": "b", "digest": hash_bytes(b"b").hex, "algorithm": "sha256"},
    ]
    assert value["predicate"]["serialization"] == {
        "method": "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [".git", ".gitattributes", ".github", ".gitignore"],
    }
    assert signed_manifest(statement) == MANIFEST
    assert origin_of(statement) == origin


def test_a_track_statement_is_slsa_provenance() -> None:
    predicate = json.loads(TRACK.to_bytes())["predicate"]
    assert predicate["buildDefinition"]["internalParameters"] == {"cores": 2}
    assert predicate["runDetails"]["builder"]["version"] == {"contraste": "0.1.0"}
    assert TRACK.predicate_type == "https://slsa.dev/provenance/v1"
    assert predicate["buildDefinition"]["externalParameters"] == {"seed": 7}
    (dependency,) = predicate["buildDefinition"]["resolvedDependencies"]
    assert dependency["digest"] == {"sha256": MODEL.digest.hex}
    assert predicate["runDetails"]["builder"]["id"]
    assert origin_of(TRACK) == Origin("track", (MODEL,), {"seed": 7}, MADE_WITH)


def test_a_training_run_is_slsa_provenance_too() -> None:
    origin = Origin("model", (Material("dataset", "d", hash_bytes(b"d"), "../d"),), {"seed": 1, "steps": 2}, MADE_WITH)
    statement = run_statement({"m": MANIFEST.root}, origin)
    build = json.loads(statement.to_bytes())["predicate"]["buildDefinition"]
    assert build["buildType"] == "https://contraste.dev/training/v1"
    assert build["resolvedDependencies"][0]["annotations"] == {"kind": "dataset", "path": "../d"}
    assert origin_of(Statement.from_bytes(statement.to_bytes())) == origin


def test_reports_keep_their_origin_and_follow_their_schema() -> None:
    origin = Origin("report", (Material("policy", "p", hash_bytes(b"p")),), {"outcome": "fail"}, MADE_WITH)
    statement = file_statement({"r.json": hash_bytes(b"r")}, origin)
    assert origin_of(Statement.from_bytes(statement.to_bytes())) == origin
    wrong = Origin("report", (), {"outcome": "excellent"})
    with pytest.raises(Malformed, match=r"parameters\.outcome: 'excellent' is not one of.*audit-report-v1"):
        file_statement({"r.json": hash_bytes(b"r")}, wrong)
    with pytest.raises(Malformed, match="audit-report-v1"):
        origin_of(Statement(statement.subjects, statement.predicate_type, wrong.to_json() | {"more": 1}))


@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1, ec.SECP521R1])
def test_the_hash_goes_with_the_curve(curve: type[ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1]) -> None:
    key = ec.generate_private_key(curve())
    envelope = Envelope.from_bytes(sign_statement(TRACK, key).to_bytes())
    assert verify_envelope(envelope, Trust({envelope.keyid: key.public_key()})) == TRACK
    sizes: dict[int, hashes.HashAlgorithm] = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
    signed = pre_authentication_encoding(envelope.payload)
    key.public_key().verify(envelope.signature, signed, ec.ECDSA(sizes[key.key_size]))


def test_other_curves_do_not_sign() -> None:
    with pytest.raises(KeyUnusable, match="secp256k1 is not a key on one of the curves P-256, P-384, P-521"):
        sign_statement(TRACK, ec.generate_private_key(ec.SECP256K1()))


def test_the_older_form_with_the_whole_key_is_read_as_a_hint() -> None:
    old = {"publicKey": {"rawBytes": base64.b64encode(public_pem(KEY.public_key())).decode(), "keyDetails": "X"}}
    bundle = json.loads(_altered(ENVELOPE, signatures=[ONE | {"keyid": None}])) | {"verificationMaterial": old}
    assert verify_envelope(Envelope.from_bytes(canonical_json(bundle)), KEYS) == TRACK
    other = base64.b64encode(public_pem(ec.generate_private_key(ec.SECP256R1()).public_key())).decode()
    envelope = Envelope.from_bytes(
        canonical_json(
            json.loads(_altered(ENVELOPE, signatures=[{"sig": ONE["sig"]}]))
            | {"verificationMaterial": {"publicKey": {"rawBytes": other}}}
        )
    )
    with pytest.raises(SignerUnknown, match="not trusted here"):
        verify_envelope(envelope, KEYS)


def test_the_encoding_of_versions_before_1_0_is_refused() -> None:
    payload = TRACK.to_bytes()
    kind = "application/vnd.in-toto+json"
    older = f"DSSEV1 {len(kind)} {kind} {len(payload)} {payload!r}".encode()
    signature = KEY.sign(older, ec.ECDSA(hashes.SHA256()))
    with pytest.raises(SignatureInvalid, match="does not belong"):
        verify_envelope(Envelope(payload, next(iter(KEYS)), signature), KEYS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mediaType": "application/vnd.dev.sigstore.bundle+json;version=0.2"}, "mediaType"),
        ({"extra": 1}, "'extra' is unknown"),
        ({"dsseEnvelope": []}, "expected a JSON object"),
        ({"verificationMaterial": {}}, "no word on the key"),
        ({"verificationMaterial": {"publicKey": {}}}, "neither hint nor rawBytes"),
        ({"verificationMaterial": {"publicKey": {"hint": "x"}}}, "64 lower-case"),
        ({"verificationMaterial": {"publicKey": {"hint": "0" * 64}}}, "keyid .* is not that of the verification"),
        ({"verificationMaterial": {"publicKey": {"hint": "0" * 64}, "x509CertificateChain": {}}}, "publicKey and x509"),
        ({"verificationMaterial": {"certificate": {"rawBytes": "AAAA"}}}, "Sigstore's public services"),
        ({"verificationMaterial": {"publicKey": {"hint": "0" * 64}, "tlogEntries": [{}]}}, "does not check it"),
        (
            {"verificationMaterial": {"publicKey": {"hint": "0" * 64}, "timestampVerificationData": {"x": 1}}},
            "timestampVerificationData is not empty",
        ),
        ({"verificationMaterial": {"x509CertificateChain": {"certificates": []}}}, "0 certificates"),
        ({"verificationMaterial": {"x509CertificateChain": {"certificates": [{}] * 11}}}, "11 certificates"),
        ({"verificationMaterial": {"x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]}}}, "not valid DER"),
        ({"verificationMaterial": {"publicKey": {"rawBytes": "AAAA"}}}, "not a public key"),
    ],
)
def test_malformed_bundles_say_why(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(Malformed, match=message):
        Envelope.from_bytes(_bundle(ENVELOPE, **fields), source="x.sig")


def test_huge_and_deep_bundles_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(Malformed, match="over the limit"):
        Envelope.from_bytes(b" " * (100 << 20))
    deep = _altered(ENVELOPE, payload=base64.b64encode(b"[" * 10_000 + b"]" * 10_000).decode())
    for data in (b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 10_000 + b"1" + b"}" * 10_000):
        with pytest.raises(Malformed, match="nested deeper"):
            Envelope.from_bytes(data)
    payload = Envelope.from_bytes(deep).payload
    with pytest.raises(Malformed, match="nested deeper"):
        verify_envelope(Envelope(payload, next(iter(KEYS)), _signature(payload)), KEYS)


def _signature(payload: bytes) -> bytes:
    return KEY.sign(pre_authentication_encoding(payload), ec.ECDSA(hashes.SHA256()))


def test_bundles_name_their_form() -> None:
    assert json.loads(ENVELOPE.to_bytes())["mediaType"] == BUNDLE_TYPE


def test_a_stranger_and_a_wrong_signature_are_told_apart() -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(SignatureInvalid, match="not trusted here"):
        verify_envelope(sign_statement(TRACK, stranger), KEYS)
    posing = Envelope(TRACK.to_bytes(), next(iter(KEYS)), sign_statement(TRACK, stranger).signature)
    with pytest.raises(SignatureInvalid, match="does not belong"):
        verify_envelope(posing, KEYS)
    good = sign_statement(TRACK, KEY)
    for payload, signature in ((good.payload + b" ", good.signature), (good.payload, b""), (good.payload, b"junk")):
        with pytest.raises(SignatureInvalid, match="does not belong"):
            verify_envelope(Envelope(payload, good.keyid, signature), KEYS)


def test_every_flipped_byte_of_an_envelope_is_found() -> None:
    data = sign_statement(TRACK, KEY).to_bytes().rstrip(b"\n")
    for index in range(0, len(data), 3):
        for bit in (1, 32):
            changed = bytearray(data)
            changed[index] ^= bit
            with pytest.raises((Malformed, SignatureInvalid)):
                verify_envelope(Envelope.from_bytes(bytes(changed)), KEYS)


ENVELOPE = sign_statement(TRACK, KEY)
ONE = json.loads(ENVELOPE.to_bytes())["dsseEnvelope"]["signatures"][0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[]", "expected a JSON object"),
        (b"{}", "is absent"),
        (_altered(ENVELOPE, signatures=[{"keyid": ONE["keyid"]}]), "'sig' is absent"),
        (_altered(ENVELOPE, signatures=[ONE | {"keyid": "0" * 64}]), "keyid .* is not that"),
        (_altered(ENVELOPE, signatures=[ONE | {"keyid": 1}]), "keyid 1 is not that"),
        (_altered(ENVELOPE, payloadType="application/json"), "payloadType"),
        (_altered(ENVELOPE, extra=1), "'extra' is unknown"),
        (_altered(ENVELOPE, signatures=[]), "0 signatures"),
        (_altered(ENVELOPE, signatures=[ONE, ONE]), "2 signatures"),
        (_altered(ENVELOPE, signatures=[ONE | {"more": 1}]), "'more' is unknown"),
        (_altered(ENVELOPE, payload="not base64!"), "base64"),
        (_altered(ENVELOPE, payload=7), "base64"),
        (_altered(ENVELOPE, payload="QQ=="[:-2]), "base64"),
        (_altered(ENVELOPE, payload="QR=="), "unused bits"),
    ],
)
def test_malformed_envelopes_say_why(data: bytes, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        Envelope.from_bytes(data, source="x.sig")


def _resources(**changes: str | int) -> list[dict[str, Any]]:
    good = {"name": "a", "digest": "0" * 64, "algorithm": "sha256"}
    return [good | changes]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resources": _resources(algorithm="md5")}, "md5"),
        ({"resources": _resources(name="../a")}, "relative POSIX path"),
        ({"resources": _resources(digest="00")}, "64 lower-case"),
        ({"resources": _resources() * 2}, "stands there twice"),
        ({"resources": _resources(name="b") + _resources()}, "not sorted by name"),
        ({"resources": _resources(name="/a")}, "relative POSIX path"),
        ({"resources": _resources(name=7)}, "no string"),
        ({"resources": _resources(more=1)}, "'more' is unknown"),
        ({"resources": _resources()}, "not the root digest"),
        ({"resources": []}, "at least one file"),
        ({"resources": None}, "JSON array"),
        ({"serialization": {"method": "shards"}}, "'hash_type' is absent"),
        ({"serialization": {"method": "shards", "hash_type": "sha256"}}, "shard_size None"),
        ({"serialization": {"method": "files", "hash_type": "sha256", "shard_size": 5}}, "shard_size 5"),
        ({"serialization": {"method": "shards", "hash_type": "sha256", "shard_size": 0.5}}, "not a whole number"),
        ({"serialization": {"method": "shards", "hash_type": "sha256", "shard_size": 9}}, "not the name of a shard"),
        ({"serialization": {"method": "files", "hash_type": "blake3"}}, "blake3"),
        ({"serialization": {"method": "files", "hash_type": "sha256", "ignore_paths": ["../x"]}}, "relative POSIX"),
        ({"serialization": {"method": "files", "hash_type": "sha256", "ignore_paths": "x"}}, "JSON array"),
    ],
)
def test_malformed_folder_predicates_say_why(changes: dict[str, Any], message: str) -> None:
    good = content_statement("m", MANIFEST, Origin("model"))
    with pytest.raises(Malformed, match=message):
        signed_manifest(Statement(good.subjects, good.predicate_type, dict(good.predicate) | changes))


@pytest.mark.parametrize("names", [["b", "a"], ["../a"], ["/a"], ["a", "./b"], ["a", "a/"]])
def test_bad_names_are_refused_even_under_the_right_root_digest(names: list[str]) -> None:
    resources = [_resources(name=name)[0] for name in names]
    total = hashlib.sha256(bytes(32) * len(names)).hexdigest()
    good = content_statement("m", MANIFEST, Origin("model"))
    statement = Statement(
        {"m": Digest.from_hex(total)}, good.predicate_type, dict(good.predicate) | {"resources": resources}
    )
    with pytest.raises(Malformed, match=r"not sorted|relative POSIX"):
        signed_manifest(statement)


def test_both_ways_of_sorting_names_are_read() -> None:
    files = {"a.txt": hash_bytes(b"1"), "a/z": hash_bytes(b"2")}
    good = content_statement("m", Manifest(files), Origin("model"))
    assert [item["name"] for item in good.predicate["resources"]] == ["a/z", "a.txt"]
    plain = sorted(good.predicate["resources"], key=lambda item: item["name"])
    root = hashlib.sha256(b"".join(bytes.fromhex(item["digest"]) for item in plain)).hexdigest()
    by_name = Statement({"m": Digest.from_hex(root)}, good.predicate_type, dict(good.predicate) | {"resources": plain})
    assert signed_manifest(by_name) == signed_manifest(good) == Manifest(files)


def test_shards_and_left_out_names_are_kept() -> None:
    shards = Manifest({f"a:{at}:{at + 5}": hash_bytes(b"") for at in (0, 5, 10)}, Method(5, (".git",)))
    statement = Statement.from_bytes(content_statement("m", shards, Origin("model")).to_bytes())
    assert statement.predicate["serialization"]["shard_size"] == 5
    assert signed_manifest(statement) == shards


def test_bundles_of_other_tools_say_nothing_of_the_origin() -> None:
    good = content_statement("m", MANIFEST, Origin("model"))
    assert origin_of(Statement(good.subjects, good.predicate_type, good.predicate)) is None
    assert origin_of(Statement(good.subjects, good.predicate_type, good.predicate, {"m": {"by": "us"}})) is None


def test_annotations_of_subjects_are_read_over() -> None:
    value = json.loads(TRACK.to_bytes())
    value["subject"][0]["annotations"] = {"note": "x"}
    read = Statement.from_bytes(canonical_json(value))
    assert (read.subjects, read.predicate) == (TRACK.subjects, TRACK.predicate)
    assert read.annotations == {"t.mid": {"note": "x"}}
    value["subject"][0]["annotations"] = []
    with pytest.raises(Malformed, match="are no JSON object"):
        Statement.from_bytes(canonical_json(value))


def test_a_second_subject_is_refused() -> None:
    good = content_statement("m", MANIFEST, Origin("model"))
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
def test_malformed_materials_say_why(value: dict[str, Any], message: str) -> None:
    with pytest.raises(Malformed, match=message):
        Material.from_json(value)


def test_unknown_predicates_and_statements_are_refused() -> None:
    with pytest.raises(Malformed, match="says nothing about the content"):
        origin_of(Statement({"a": hash_bytes(b"")}, "https://example.com/p", {}))
    for change, message in (
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "_type"),
        ({"subject": []}, "no subject"),
        ({"predicate": 1}, "predicate an object"),
        ({"subject": [{"name": "/a", "digest": {"sha256": "0" * 64}}]}, "relative POSIX"),
    ):
        with pytest.raises(Malformed, match=message):
            Statement.from_bytes(canonical_json(json.loads(TRACK.to_bytes()) | change))
