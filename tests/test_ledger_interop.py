"""Model signing between this program and the reference implementation, both ways.

Bundles that model-signing 1.1.1 made lie in data/model_signing with what they are about and the public side of their
throw-away keys; they are verified always. The tool itself is asked where CONTRASTE_MODEL_SIGNING names the Python of an
environment that has it: make interop.
"""

import base64
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import jsonschema
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ledger.errors import SignerUnknown
from ledger.hashes.digest import hash_bytes
from ledger.hashes.manifest import FILES, ManifestMismatch, Method
from ledger.provenance.record import material_of, measure, write_record
from ledger.provenance.sign import sign_path
from ledger.provenance.signed import check_content, read_signed
from ledger.signing.keyring import with_files
from ledger.signing.predicates import signed_manifest
from ledger.signing.statement import Material
from ledger.signing.trust import Trust

DATA = Path(__file__).parent / "data" / "model_signing"
PEER = Path(__file__).parent / "model_signing_peer.py"
PYTHON = os.environ.get("CONTRASTE_MODEL_SIGNING")
CURVES = {"p256": ec.SECP256R1, "p384": ec.SECP384R1, "p521": ec.SECP521R1}
CASES = list(product(CURVES, ("key", "certificate"), ("files", "shards"), ("model", "single.bin")))
needs_peer = pytest.mark.skipif(PYTHON is None, reason="model-signing is not asked without: make interop")


def make_model(folder):
    """Write what is signed: a folder whose names sort differently by part and by character, and one file."""
    model = folder / "model"
    (model / "a").mkdir(parents=True)
    (model / "a" / "z").write_bytes(bytes(range(256)) * 12)  # three shards and a bit
    (model / "a.txt").write_bytes(b"a text\n")
    (model / ".hidden").write_bytes(b"hidden\n")
    (model / "caf\u00e9").write_bytes(b"a name beyond ASCII\n")
    (folder / "single.bin").write_bytes(bytes(reversed(range(256))) * 41)  # more than ten shards


def make_keys(folder, curve):
    """Write a key pair on a curve, and its certificate with the authority above it; all of it for tests only."""
    key, above = ec.generate_private_key(CURVES[curve]()), ec.generate_private_key(CURVES[curve]())
    text = serialization.Encoding.PEM
    private = key.private_bytes(text, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / f"{curve}.private.pem").write_bytes(private)
    public = key.public_key().public_bytes(text, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / f"{curve}.public.pem").write_bytes(public)
    root = _certificate("Test root, worth nothing", above, "Test root, worth nothing", above, True)
    leaf = _certificate("Test leaf, worth nothing", key, "Test root, worth nothing", above, False)
    (folder / f"{curve}.root.pem").write_bytes(root.public_bytes(text))
    (folder / f"{curve}.leaf.pem").write_bytes(leaf.public_bytes(text))
    return key, leaf


def _certificate(subject, key, issuer, issuer_key, ca):
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (issuer, subject)]
    usage = x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False)
    return (
        x509.CertificateBuilder(*names, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2126, 1, 1, tzinfo=UTC))
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def peer(*words):
    """Run the reference implementation; return its exit code and what it said."""
    ran = subprocess.run([PYTHON, PEER, *map(str, words)], capture_output=True, text=True, check=False)
    return ran.returncode, ran.stdout + ran.stderr


def trusted(folder, curve, kind):
    file = folder / f"{curve}.{'public' if kind == 'key' else 'root'}.pem"
    return file, with_files(Trust({}), [file])


def check(path, signature, trust):
    signed = read_signed(path, trust, file=signature)
    check_content(signed, measure(path))
    return signed


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_bundles_of_the_reference_implementation_verify(case, tmp_path):
    curve, kind, method, name = case
    signature = DATA / f"{'-'.join(case)}.sig"
    _, trust = trusted(DATA, curve, kind)
    signed = check(DATA / name, signature, trust)
    assert not signed.told
    expected = Method(1000) if method == "shards" else FILES
    manifest = signed_manifest(signed.statement)
    assert manifest.method.shard_bytes == expected.shard_bytes
    assert len(manifest.files) == {
        ("files", "model"): 4, ("shards", "model"): 7, ("files", "single.bin"): 1, ("shards", "single.bin"): 11,
    }[method, name]  # fmt: skip
    with pytest.raises(SignerUnknown):
        check(DATA / name, signature, Trust({}))
    copied = tmp_path / name
    (shutil.copytree if copied.suffix == "" else shutil.copy)(DATA / name, copied)
    file = copied / "a" / "z" if copied.is_dir() else copied
    data = bytearray(file.read_bytes())
    data[1500] ^= 1
    file.write_bytes(data)
    with pytest.raises(ManifestMismatch, match="changed"):
        check(copied, signature, trust)


def _object(required, optional=(), open_=False):
    fields = dict(required) | dict(optional)
    return {
        "type": "object", "required": list(required), "properties": fields, "additionalProperties": open_,
    }  # fmt: skip


def _array(items, **rules):
    return {"type": "array", "items": items} | rules


# The rules of the JSON Schemas of model signing 1.0 (bundle, envelope, statement, predicate), in our own words.
TEXT, HEX = {"type": "string", "minLength": 1}, {"type": "string", "pattern": "^[0-9a-f]+$"}
MATERIAL = {
    "anyOf": [
        _object({"publicKey": _object({"hint": TEXT}, open_=True)}, open_=True),
        _object({"x509CertificateChain": _object({"certificates": _array({}, minItems=1)}, open_=True)}, open_=True),
    ]
}
SIGNATURES = _array(_object({"sig": TEXT}, {"keyid": {"type": ["string", "null"]}}), minItems=1)
PAYLOAD_TYPE = {"const": "application/vnd.in-toto+json"}
ENVELOPE = _object({"payload": TEXT, "payloadType": PAYLOAD_TYPE, "signatures": SIGNATURES})
MEDIA = {"type": "string", "pattern": r"^application/vnd\.dev\.sigstore\.bundle"}
BUNDLE = _object({"mediaType": MEDIA, "verificationMaterial": MATERIAL, "dsseEnvelope": ENVELOPE})
ALGORITHM = {"type": "string", "pattern": "^sha256(-sharded-1000)?$"}  # that of shards is the peer's own
SERIALIZATION = _object(
    {"method": {"enum": ["files", "shards"]}, "hash_type": {"const": "sha256"}, "allow_symlinks": {"type": "boolean"}},
    {"shard_size": {"type": "integer", "exclusiveMinimum": 0}, "ignore_paths": _array(TEXT)},
)
RESOURCES = _array(_object({"name": TEXT, "digest": HEX, "algorithm": ALGORITHM}, open_=True))
SUBJECT = _array(_object({"name": TEXT, "digest": _object({"sha256": HEX})}, open_=True), minItems=1, maxItems=1)
STATEMENT = _object(
    {
        "_type": {"const": "https://in-toto.io/Statement/v1"}, "subject": SUBJECT,
        "predicateType": {"const": "https://model_signing/signature/v1.0"},
        "predicate": _object({"resources": RESOURCES, "serialization": SERIALIZATION}),
    }
)  # fmt: skip


def follows_the_schemas(file):
    bundle = json.loads(file.read_bytes())
    jsonschema.validate(bundle, BUNDLE)
    jsonschema.validate(json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"])), STATEMENT)


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_what_is_written_follows_the_schemas_of_the_specification(case, tmp_path):
    curve, kind, method, name = case
    follows_the_schemas(DATA / f"{'-'.join(case)}.sig")
    make_model(tmp_path)
    key, leaf = make_keys(tmp_path, curve)
    path = tmp_path / name
    write_record(path, "model", parameters={"seed": 1})
    ours = sign_path(
        path, key, [leaf] if kind == "certificate" else [], method=Method(1000 if method == "shards" else None)
    )
    follows_the_schemas(ours)
    assert check(path, ours, trusted(tmp_path, curve, kind)[1]).told


@needs_peer
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_both_accept_each_other_and_neither_what_was_altered(case, tmp_path):
    curve, kind, method, name = case
    make_model(tmp_path)
    key, leaf = make_keys(tmp_path, curve)
    file, trust = trusted(tmp_path, curve, kind)
    path, theirs = tmp_path / name, tmp_path / "theirs.sig"
    private = [tmp_path / f"{curve}.private.pem"]
    words = private if kind == "key" else [*private, tmp_path / f"{curve}.leaf.pem", tmp_path / f"{curve}.root.pem"]
    assert peer("sign", kind, method, path, theirs, *words) == (0, "")
    check(path, theirs, trust)
    if path.is_dir():
        write_record(path, "model", parameters={"seed": 1})
    ours = sign_path(
        path, key, [leaf] if kind == "certificate" else [], method=Method(1000 if method == "shards" else None)
    )
    assert check(path, ours, trust).told
    assert peer("verify", kind, method, path, ours, file) == (0, "")
    target = path / "a" / "z" if path.is_dir() else path
    target.write_bytes(target.read_bytes() + b"x")
    code, said = peer("verify", kind, method, path, ours, file)
    assert (code, "mismatch" in said.lower()) == (1, True), said
    with pytest.raises(ManifestMismatch):
        check(path, ours, trust)


@needs_peer
@pytest.mark.parametrize("method", ["files", "shards"])
def test_both_leave_the_files_of_git_out_and_say_so(method, tmp_path):
    make_model(tmp_path)
    key, _ = make_keys(tmp_path, "p256")
    model, private, public = (tmp_path / name for name in ("model", "p256.private.pem", "p256.public.pem"))
    ours, theirs = tmp_path / "model.sig", tmp_path / "theirs.sig"
    for name in (
        ".git/HEAD",
        ".git/objects/ab",
        ".github/workflow.yml",
        ".gitattributes",
        ".gitignore",
        "a/.gitignore",
    ):
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_bytes(name.encode())
    assert peer("sign", "key", method, model, theirs, private) == (0, "")
    how = FILES if method == "files" else Method(1000, FILES.ignored)
    sign_path(model, key, method=how)
    trust = trusted(tmp_path, "p256", "key")[1]
    for step in (lambda: None, (model / ".git/HEAD").unlink, lambda: (model / ".git/new").write_bytes(b"x")):
        step()
        assert peer("verify", "key", method, model, ours, public) == (0, "")
        check(model, theirs, trust)
        check(model, ours, trust)
    (model / "a/.gitignore").write_bytes(b"further down it is a file like any other")
    assert peer("verify", "key", method, model, ours, public)[0] == 1
    for file in (theirs, ours):
        with pytest.raises(ManifestMismatch, match=r"a/\.gitignore"):
            check(model, file, trust)


@needs_peer
def test_runs_are_provenance_to_the_tools_of_in_toto_and_sigstore(tmp_path):
    make_model(tmp_path)
    key, _ = make_keys(tmp_path, "p256")
    model, track = tmp_path / "model", tmp_path / "t.mid"
    made_with = {"code": {"contraste": "0.1.0"}, "hardware": {"cores": 2, "device": "cpu"}}
    data = Material("dataset", "d", hash_bytes(b"d"), "../d")
    write_record(model, "model", materials=[data], parameters={"seed": 1}, environment=made_with)
    track.write_bytes(b"notes")
    by = material_of("model", model, artefact=track)
    write_record(track, "track", materials=[by], parameters={"seed": 7, "top_p": 0.9}, environment=made_with)
    for path, suffix, build_type in ((model, ".run.sig", "training"), (track, ".sig", "generation")):
        sign_path(path, key)
        bundle = path.with_name(path.name + suffix)
        said = peer("provenance", bundle, tmp_path / "p256.public.pem")
        assert said == (0, f"https://contraste.dev/{build_type}/v1\n")
        value = bundle.read_bytes()
        bundle.write_bytes(value.replace(b'"sig":"ME', b'"sig":"MD'))
        assert peer("provenance", bundle, tmp_path / "p256.public.pem")[0] == 1


if __name__ == "__main__":  # make the bundles anew: CONTRASTE_MODEL_SIGNING=... python tests/test_ledger_interop.py
    shutil.rmtree(DATA, ignore_errors=True)
    DATA.mkdir()
    make_model(DATA)
    for one in CURVES:
        make_keys(DATA, one)
    for one, how, cut, what in CASES:
        private_file = [DATA / f"{one}.private.pem"]
        given = private_file if how == "key" else [*private_file, DATA / f"{one}.leaf.pem", DATA / f"{one}.root.pem"]
        result = peer("sign", how, cut, DATA / what, DATA / f"{one}-{how}-{cut}-{what}.sig", *given)
        if result != (0, ""):
            raise SystemExit(result[1])
    for secret in [*DATA.glob("*.private.pem"), *DATA.glob("*.leaf.pem")]:
        secret.unlink()
