"""C2PA credentials: every format, every way to alter one, and what may change without harm."""

import io
import json
import os
import shutil
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from ledger.anchors.anchor import anchor_paths
from ledger.errors import ExtraMissing, KeyUnusable, LedgerError, Malformed, PathRefused
from ledger.exchange.credential import LINKS, read_credential, run_digest
from ledger.exchange.credential_issue import Issuer, chain_of
from ledger.media import KINDS, SOUNDS
from ledger.provenance.record import digest_of, material_of, owner_of, read_record, record_path, write_record
from ledger.provenance.sign import sign_path
from ledger.signing.certificates import create_certificates, load_chain, load_roots, pem_text
from ledger.signing.keyring import import_trusted, trusted_keys
from ledger.signing.keys import key_id, load_certificates
from ledger.signing.signer import Signer
from ledger.signing.trust import Revocation, Trust
from ledger.verify import verify_path
from music.read import AUDIO_SUFFIXES, SUFFIXES
from tests.credential_cases import FILES, TAMPER, World, holder, roots
from tests.test_ledger_verify import RealChain

pytest.importorskip("c2pa")


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def _links(world, path):
    verification = verify_path(path, world.trust)
    return verification, [link for link in verification.links if link.name == "credential"]


@pytest.mark.parametrize("kind", FILES)
def test_every_format_is_signed_and_read(world, kind):
    path = world.track(kind)
    found = read_credential(path, world.trust)
    assert (found.verdict, found.time) == ("trusted", None), found.detail
    assert (holder(path) == path) is (kind in ("wav", "mp3", "flac", "m4a", "mp4"))
    verification, (link,) = _links(world, path)
    assert (link.subject, link.verdict) == (str(path), "ok")
    assert [other.verdict for other in verification.links if other.name == "track"] == ["ok"]


def test_the_kinds_of_files_are_those_that_are_read_as_music():
    assert set(SOUNDS) == AUDIO_SUFFIXES
    assert set(KINDS) - set(SOUNDS) == {suffix for suffix in SUFFIXES if suffix.startswith(".mid")}
    assert set(KINDS) == {f".{kind}" for kind in FILES}


@pytest.mark.parametrize("name", TAMPER)
def test_tampering_is_found(world, name):
    case = TAMPER[name]
    path = world.track(case.kind)
    assert read_credential(path, world.trust).verdict == "trusted"
    case.change(world, path)
    found = read_credential(path, world.trust)
    assert (found.verdict, case.message in found.detail) == (case.verdict, True), found.detail
    _, (link,) = _links(world, path)
    expected = "missing" if case.verdict == "none" else LINKS[case.verdict][0]
    assert (link.subject, link.verdict) == (str(path), expected)


@pytest.mark.parametrize("kind", ["wav", "mid"])
def test_a_stripped_credential_is_named_by_the_statement(world, kind):
    path = world.track(kind)
    TAMPER[f"{'wav: stripped' if kind == 'wav' else 'midi: credential removed'}"].change(world, path)
    verification, (link,) = _links(world, path)
    assert (link.verdict, "stripped" in link.detail) == ("missing", True)
    assert verification.verdict == "broken"  # what is left is not what was signed
    assert verification.fault.name == "track"


def _rename(world, path):
    moved = path.with_name(f"renamed{path.suffix}")
    path.rename(moved)
    if holder(path) != path:
        holder(path).rename(holder(moved))
    return moved


def _move(world, path):
    folder = world.folder / "elsewhere" / "deeper"
    folder.mkdir(parents=True)
    for file in {path, holder(path)}:
        shutil.move(file, folder / file.name)
    return folder / path.name


def _keep(change):
    return lambda world, path: (change(world, path), path)[1]


def _upper(world, path):
    moved = path.with_suffix(path.suffix.upper())
    path.rename(moved)
    if holder(path) != path:
        holder(path).rename(holder(moved))
    return moved


BENIGN = {
    "renamed": _rename,
    "moved": _move,
    "capital letters in the suffix": _upper,
    "another time": _keep(lambda w, p: os.utime(p, (1, 1))),
    "read-only": _keep(lambda w, p: p.chmod(0o400)),
    "copied": lambda w, p: (
        shutil.copytree(w.folder, w.folder / "copy" / "of it all", ignore=shutil.ignore_patterns("copy")) / p.name
    ),
    "statement gone": _keep(lambda w, p: p.with_name(p.name + ".sig").unlink()),
    "signed again": _keep(lambda w, p: w.issuer().issue(p)),
    "signed again, with other words": _keep(lambda w, p: w.issuer(source="composite", mining="allowed").issue(p)),
    "a stranger's first": _keep(lambda w, p: (TAMPER["signed by a stranger"].change(w, p), w.issuer().issue(p))),
    "the model is gone": _keep(lambda w, p: shutil.rmtree(w.model)),
    "more keys are trusted": _keep(
        lambda w, p: setattr(w, "trust", Trust({**w.trust, "00": w.signer("more")[0].public_key()}))
    ),
    "other keys are revoked": _keep(
        lambda w, p: setattr(w, "trust", Trust(w.trust, (), {"00": Revocation("00", datetime.now(UTC), "lost")}))
    ),
    "trust by authority": _keep(lambda w, p: setattr(w, "trust", Trust({}, roots(w.authority)))),
    "trust by authority and key": _keep(lambda w, p: setattr(w, "trust", Trust(w.trust, roots(w.authority)))),
    "among several authorities": _keep(
        lambda w, p: setattr(w, "trust", Trust({}, roots(w.signer("x")[2] + w.authority + w.signer("y")[2])))
    ),
}


@pytest.mark.parametrize("kind", ["wav", "mid"])
@pytest.mark.parametrize("name", BENIGN)
def test_benign_changes_raise_no_alarm(world, name, kind):
    path = BENIGN[name](world, world.track(kind))
    found = read_credential(path, world.trust)
    assert found.verdict == "trusted", found.detail


def _manifests(path):
    import io

    import c2pa

    data, held = path.read_bytes(), None if holder(path) == path else holder(path).read_bytes()
    with c2pa.Reader("audio/wav" if path.suffix == ".wav" else "audio/midi", io.BytesIO(data), held) as reader:
        return json.loads(reader.json())["manifests"]


def test_what_a_credential_says(world):
    path = world.track("wav")
    manifest = read_credential(path, world.trust).manifest
    said = {found["label"]: found["data"] for found in manifest["assertions"]}
    (action,) = said["c2pa.actions.v2"]["actions"]
    assert action["action"] == "c2pa.created"
    assert action["digitalSourceType"] == "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    model, store = (digest_of(made).hex for made in (world.model, world.store))
    assert action["softwareAgent"] == {"name": "model", "version": model}
    assert len(action["parameters"]["ingredients"]) == 2
    run = run_digest(read_record(path).origin).hex
    assert said["dev.contraste.provenance"] == {
        "schema": "contraste-credential/1", "run": {"sha256": run},
        "model": {"name": "model", "sha256": model}, "dataset": {"name": "store", "sha256": store},
    }  # fmt: skip
    entries = said["cawg.training-mining"]["entries"]
    assert {entry["use"] for entry in entries.values()} == {"notAllowed"}
    assert "cawg.ai_generative_training" in entries
    parts = {part["title"]: part for part in manifest["ingredients"]}
    assert {name: part["relationship"] for name, part in parts.items()} == {"model": "inputTo", "store": "inputTo"}
    assert parts["store"]["data_types"] == [{"type": "c2pa.types.dataset"}]


def test_options_are_said(world):
    path = world.write("flac")
    report = world.folder / "report.json"
    report.write_text("{}")
    world.issuer(source="composite", mining="allowed").issue(path, report)
    found = read_credential(path, world.trust)
    assert found.assertion("c2pa.actions.v2")["actions"][0]["digitalSourceType"].endswith(
        "/compositeWithTrainedAlgorithmicMedia"
    )
    assert found.assertion("cawg.training-mining")["entries"]["cawg.data_mining"] == {"use": "allowed"}
    assert found.assertion("dev.contraste.provenance")["report"]["sha256"] == digest_of(report).hex


@pytest.mark.parametrize("kind", ["wav", "mid"])
def test_signing_again_changes_nothing_until_something_else_is_said(world, kind):
    path = world.track(kind)
    before = holder(path).read_bytes()
    world.issuer().issue(path)
    assert holder(path).read_bytes() == before
    (first,) = _manifests(path)
    world.issuer(mining="allowed").issue(path)
    manifests = _manifests(path)
    assert len(manifests) == 2
    assert first in manifests


@pytest.mark.parametrize("kind", ["wav", "mp3", "flac", "m4a", "mid", "ogg"])
def test_an_existing_credential_becomes_the_parent(world, kind):
    path = world.track(kind)
    TAMPER["signed by a stranger"].change(world, path)
    assert read_credential(path, world.trust).verdict == "unknown"
    world.issuer().issue(path)
    found = read_credential(path, world.trust)
    assert found.verdict == "trusted"
    (action,) = found.assertion("c2pa.actions.v2")["actions"]
    assert action["action"] == "c2pa.opened"
    parents = [part for part in found.manifest["ingredients"] if part["relationship"] == "parentOf"]
    assert len(parents) == 1
    assert parents[0]["active_manifest"]
    codes = {status["code"] for status in parents[0]["validation_results"]["activeManifest"]["failure"]}
    assert codes == {"signingCredential.untrusted"}


def test_a_tampered_credential_is_kept_as_such(world):
    path = world.track("wav")
    TAMPER["wav: one bit of the sound"].change(world, path)
    world.issuer().issue(path)
    found = read_credential(path, world.trust)
    assert found.verdict == "trusted"
    parent = next(part for part in found.manifest["ingredients"] if part["relationship"] == "parentOf")
    codes = {status["code"] for status in parent["validation_results"]["activeManifest"]["failure"]}
    assert codes == {"assertion.dataHash.mismatch"}


def test_nothing_is_claimed_about_a_file_without_a_record(world):
    path = world.folder / "found.wav"
    path.write_bytes(FILES["wav"]())
    before = digest_of(path).hex
    world.issuer().issue(path)
    found = read_credential(path, world.trust)
    (action,) = found.assertion("c2pa.actions.v2")["actions"]
    assert action["action"] == "c2pa.opened"
    assert not {"digitalSourceType", "softwareAgent"} & action.keys()
    assert before.encode() in path.read_bytes()  # the digest of what was opened, as a bound resource
    assert read_record(path).origin.parameters == {"credentials": ["found.wav"]}


def test_the_rendering_of_a_track_gets_its_own(world):
    path = world.write("mid")
    wav = path.with_suffix(".wav")
    wav.write_bytes(FILES["wav"]())
    material = material_of("model", world.model, artefact=path)
    write_record(path, "track", materials=[material], also=[wav.name])
    assert owner_of(wav) == path
    assert owner_of(path) == path
    assert world.issuer().issue(path) == {holder(path): "", wav: ""}
    sign_path(path, world.key)
    for asked in (path, wav):
        verification, links = _links(world, asked)
        assert [(link.subject, link.verdict) for link in links] == [(str(path), "ok"), (str(wav), "ok")]
        assert [link.verdict for link in verification.links if link.name == "track"] == ["ok"]


def test_a_track_that_travels_alone_is_vouched_for_by_its_credential(world):
    path = world.track("mp3")
    alone = world.folder / "alone" / path.name
    alone.parent.mkdir()
    shutil.copy(path, alone)
    verification, (link,) = _links(world, alone)
    assert (verification.verdict, link.verdict) == ("ok", "ok")
    assert verification.links[0].verdict == "absent"
    world.trust = Trust({})
    assert _links(world, alone)[0].verdict == "incomplete"


def test_a_credential_about_another_run_than_the_statement_is_broken(world):
    path = world.track("wav")
    record = read_record(path)
    write_record(path, "track", materials=record.origin.materials, parameters={**record.origin.parameters, "seed": 8})
    sign_path(path, world.key)
    verification, (link,) = _links(world, path)
    assert (verification.verdict, link.verdict) == ("broken", "broken")
    assert "another run" in link.detail


# Bad input


@pytest.mark.parametrize("content", [b"", b"junk" * 100, FILES["mid"]()], ids=["empty", "junk", "MIDI"])
@pytest.mark.parametrize("kind", ["wav", "mp3", "flac", "m4a"])
def test_what_is_not_of_its_format_is_refused_and_left(world, kind, content):
    path = world.write(kind, content=content)
    record = record_path(path).read_bytes()
    with pytest.raises(Malformed, match=r"track.*(check that it is what its name says|can't be read)"):
        world.issuer().issue(path)
    assert path.read_bytes() == content
    assert record_path(path).read_bytes() == record


def test_a_damaged_credential_is_not_dropped(world):
    path = world.track("mid")
    holder(path).write_bytes(b"junk" * 99)
    with pytest.raises(Malformed, match="can't be read"):
        world.issuer().issue(path)
    assert holder(path).read_bytes() == b"junk" * 99


def test_odd_files_are_refused(world):
    path = world.track("wav")
    link = path.with_name("link.wav")
    link.symlink_to(path)
    os.mkfifo(path.with_name("pipe.wav"))
    for odd in (link, path.with_name("pipe.wav"), path.with_name("none.wav"), world.store):
        with pytest.raises(PathRefused, match="not a regular file"):
            read_credential(odd, world.trust)


def test_a_huge_sidecar_is_refused(world, monkeypatch):
    path = world.track("mid")
    with holder(path).open("r+b") as file:
        file.truncate(65 * 1024 * 1024)
    assert read_credential(path, world.trust).verdict == "tampered"


def test_many_false_certificates_do_not_hold_it_up(world):
    path = world.track("mid")
    holder(path).write_bytes(holder(path).read_bytes() + b"\x30\x82\x02\x00" * 1_000_000)
    started = time.perf_counter()
    assert read_credential(path, world.trust).verdict in ("tampered", "unknown", "trusted")
    assert time.perf_counter() - started < 5


def test_no_altered_byte_changes_what_a_trusted_credential_says(world):
    """Box headers and the room for a longer signature are not signed; nor do they say anything."""
    path = world.track("mid")
    whole, said = holder(path).read_bytes(), read_credential(path, world.trust).manifest
    room = whole.index(bytes(200))
    verdicts = Counter()
    for at in (*range(0, room, 5), room + 100, *range(len(whole) - 60, len(whole), 3)):
        holder(path).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        found = read_credential(path, world.trust)
        verdicts[found.verdict] += 1
        assert found.verdict in ("trusted", "tampered", "unknown")
        assert found.verdict != "trusted" or found.manifest == said, at
    assert verdicts["tampered"] > 20 * verdicts["trusted"], verdicts


def test_names_cannot_steer_the_terminal(world):
    path = world.track("wav")
    TAMPER["signed by a stranger"].change(world, path)
    data = path.read_bytes()
    evil = data.replace(b"contraste ", b"\x1b[2J\x07 evil")
    assert evil != data
    path.write_bytes(evil)
    assert "\x1b" not in read_credential(path, world.trust).detail


# Keys and certificates


def test_a_certificate_must_be_that_of_the_key_and_valid_now(world, tmp_path):
    folder = tmp_path / "keys-us"
    with pytest.raises(KeyUnusable, match="belongs to another key"):
        load_chain(folder, world.signer("other")[0].public_key())
    past, _, _ = world.signer("past", days=1 / 48)
    with pytest.raises(KeyUnusable, match="valid from"):
        load_chain(tmp_path / "keys-past", past.public_key())
    stamps, _, _ = world.signer("stamps", purposes=[ExtendedKeyUsageOID.TIME_STAMPING])
    with pytest.raises(KeyUnusable, match="one for time stamps"):
        load_chain(tmp_path / "keys-stamps", stamps.public_key())
    (tmp_path / "none").mkdir()
    with pytest.raises(KeyUnusable, match=r"certificate\.pem.*contraste keys new"):
        load_chain(tmp_path / "none", world.key.public_key())
    (tmp_path / "junk.pem").write_text("junk")
    with pytest.raises(KeyUnusable, match="holds no PEM certificate"):
        load_chain(tmp_path / "junk.pem", world.key.public_key())
    (tmp_path / "wrong.pem").write_text(world.chain + world.signer("third")[2])
    with pytest.raises(KeyUnusable, match="was not issued by the next one"):
        load_chain(tmp_path / "wrong.pem", world.key.public_key())
    (tmp_path / "whole.pem").write_text(world.chain + world.authority)
    assert load_chain(tmp_path / "whole.pem", world.key.public_key()) == world.chain + world.authority
    with pytest.raises(LedgerError, match="exists already"):
        create_certificates(folder, world.key.public_key())


@pytest.mark.parametrize("purposes", [(), (ExtendedKeyUsageOID.SERVER_AUTH,)])
def test_a_certificate_for_something_else_cannot_sign_claims(world, purposes):
    key, chain, _ = world.signer("odd", purposes=purposes)
    path = world.write("wav")
    before = path.read_bytes()
    with pytest.raises(KeyUnusable, match="can't sign claims"):
        Issuer(key, chain).issue(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("curve", [ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_other_curves(world, curve):
    key, chain, _ = world.signer("other", curve)
    path = world.write("mid")
    Issuer(key, chain).issue(path)
    assert read_credential(path, Trust({key_id(key.public_key()): key.public_key()})).verdict == "trusted"


def test_a_chain_with_an_authority_between(world, tmp_path):
    root, between, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
    mine = x509.load_pem_x509_certificate(world.chain.encode())

    def issue(subject, issuer, public, by, *extensions):
        made = x509.CertificateBuilder(_named(issuer), _named(subject), public, x509.random_serial_number())
        made = made.not_valid_before(mine.not_valid_before_utc).not_valid_after(mine.not_valid_after_utc)
        by_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key())
        for extension in (*extensions, by_id, x509.SubjectKeyIdentifier.from_public_key(public)):
            made = made.add_extension(extension, not isinstance(extension, x509.SubjectKeyIdentifier | type(by_id)))
        return made.sign(by, hashes.SHA256())

    of_leaf = [e.value for e in mine.extensions if isinstance(e.value, x509.KeyUsage | x509.ExtendedKeyUsage)]
    of_root = [e.value for e in roots(world.authority)[0].extensions if isinstance(e.value, x509.KeyUsage)]
    authority = (*of_root, x509.BasicConstraints(True, None))
    top = issue("root", "root", root.public_key(), root, *authority)
    middle = issue("between", "root", between.public_key(), root, *authority)
    leaf = issue("label", "between", key.public_key(), between, *of_leaf, x509.BasicConstraints(False, None))
    (tmp_path / "chain.pem").write_text(pem_text(leaf, middle))
    path = world.write("wav")
    Issuer(key, load_chain(tmp_path / "chain.pem", key.public_key())).issue(path)
    assert read_credential(path, Trust({}, (top,))).verdict == "trusted"
    assert read_credential(path, Trust({}, roots(world.authority))).verdict == "unknown"
    (tmp_path / "swapped.pem").write_text(pem_text(leaf, top, middle))
    with pytest.raises(KeyUnusable, match="was not issued by the next one"):
        load_chain(tmp_path / "swapped.pem", key.public_key())


def _named(name):
    organisation = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "A label")
    return x509.Name([organisation, x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def test_authorities(world, tmp_path, monkeypatch):
    monkeypatch.setenv("CONTRASTE_HOME", str(tmp_path / "home"))
    assert trusted_keys().roots == ()
    import_trusted(tmp_path / "keys-us" / "ca.pem")
    assert pem_text(*trusted_keys().roots) == world.authority
    with pytest.raises(KeyUnusable, match="is no certificate authority"):
        load_roots(tmp_path / "keys-us" / "certificate.pem")


def test_without_the_library_it_is_said_what_is_missing(world, monkeypatch):
    path = world.track("wav")
    plain = world.folder / "plain.wav"
    plain.write_bytes(FILES["wav"]())
    monkeypatch.setitem(sys.modules, "c2pa", None)
    with pytest.raises(ExtraMissing, match=r"pip install 'contraste\[c2pa\]'"):
        world.issuer().issue(path)
    _, (link,) = _links(world, path)
    assert (link.verdict, "not installed" in link.detail) == ("unchecked", True)
    assert _links(world, plain)[1][0].verdict == "absent"


def test_what_a_signed_statement_covered_before_the_revocation_stays_trusted(world, proven):
    identifier = key_id(world.key.public_key())
    since = datetime.fromtimestamp(1001, UTC)
    trust = Trust(world.trust, revoked={identifier: Revocation(identifier, since, "stolen")})
    path, chain = world.track("mid"), RealChain()  # its blocks are from second 1000
    before, after = (datetime.fromtimestamp(second, UTC) for second in (1000, 1001))
    found = [read_credential(path, trust, at).verdict for at in (before, after, None)]
    assert found == ["trusted", "revoked", "revoked"]
    anchor_paths([path], chain, trust=world.trust)

    def said(chain):
        links = verify_path(path, trust, chain).links
        return [(link.name, link.code) for link in links if link.name in ("key", "credential")]

    assert said(chain) == [("key", "signed-before-revocation"), ("credential", "ok")]
    assert said(None) == [("key", "chain-not-asked"), ("credential", "key-revoked")]
    # A credential that the statement does not cover has nobody's word for its time.
    other = world.track("mid", "other")
    holder(path).write_bytes(holder(other).read_bytes())
    assert said(chain)[-1] == ("credential", "key-revoked")


def test_a_key_in_a_hardware_module_needs_its_certificate(world):
    signer, uri = Signer(world.key), "pkcs11:token=x?module-path=/x"
    with pytest.raises(KeyUnusable, match="name it with --certificate"):
        chain_of(signer, uri)
    certificates = load_certificates(world.folder / "keys-us" / "certificate.pem")
    assert chain_of(Signer(world.key, certificates), uri) == world.chain
    assert chain_of(signer, str(world.folder / "keys-us" / "private.p12")) == world.chain
    # All that is asked of a key are the two methods that a module has.
    key = SimpleNamespace(public_key=world.key.public_key, sign=world.key.sign)
    path = world.write("wav")
    Issuer(key, world.chain).issue(path)
    assert read_credential(path, world.trust).verdict == "trusted"


def test_a_signer_is_told_by_the_key_and_not_by_a_name_around_it(world):
    """Anybody can write a certificate with a famous name around somebody's public key."""
    from ledger.signing.certificates import _name, _usage

    authority, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    famous = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Famous Label Inc")])
    builder = x509.CertificateBuilder(_name("x"), famous, world.key.public_key(), 7)
    builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(days=9))
    builder = builder.add_extension(_usage(False), critical=True)
    builder = builder.add_extension(x509.BasicConstraints(False, None), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=True)
    key_identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    builder = builder.add_extension(key_identifier, critical=False)
    path = world.write("wav")
    Issuer(world.key, pem_text(builder.sign(authority, hashes.SHA256()))).issue(path)
    found = read_credential(path, world.trust)
    assert found.verdict == "trusted"
    assert found.detail.startswith(f"trusted: signed by key {key_id(world.key.public_key())[:16]}...; trained")
    assert "Famous" not in found.detail
    # Under a trusted authority it is the name that was checked.
    named = world.track("wav", "named")
    assert "signed by 'contraste" in read_credential(named, Trust({}, roots(world.authority))).detail


def _container(kind):
    """Return sound of a format that the engine does not look into, as writers of large files make it."""
    out = io.BytesIO()
    soundfile.write(out, 0.1 * np.sin(np.arange(4410) / 20), 44100, format=kind, subtype="PCM_16")
    return out.getvalue()


@pytest.mark.parametrize("kind", ["RF64", "W64", "AU", "CAF", "AIFF"])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "m4a"])
def test_what_cannot_be_looked_into_is_unchecked_and_not_tampered(world, kind, suffix):
    path = world.folder / f"large.{suffix}"
    path.write_bytes(_container(kind))
    verification, (link,) = _links(world, path)
    assert (link.verdict, link.code) == ("unchecked", "credential-unreadable")
    assert "can't be checked" in link.detail
    assert verification.verdict == "incomplete"
    sign_path(path, world.key)  # the statement says nothing of a credential, and covers every byte
    verification, (link,) = _links(world, path)
    assert (verification.verdict, link.verdict) == ("ok", "absent")


@pytest.mark.parametrize("content", [b"", b"RIFF\0\0\0\0WAVE", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"hello"])
def test_a_damaged_file_without_a_trace_of_a_credential_is_unchecked(world, content):
    path = world.folder / "cut.wav"
    path.write_bytes(content)
    found = read_credential(path, world.trust)
    assert found.verdict in ("unreadable", "none")
    assert verify_path(path, world.trust).verdict == "incomplete"


def test_a_link_is_unchecked_wherever_it_leads(world):
    path = world.track("wav")
    for name, target in (("link.wav", path), ("dangling.wav", world.folder / "nowhere")):
        (world.folder / name).symlink_to(target)
        assert verify_path(world.folder / name, world.trust).verdict == "incomplete"
    path.rename(world.folder / "real.bin")
    path.symlink_to(world.folder / "real.bin")  # as tools that save room do; the bytes are the same
    verification = verify_path(path, world.trust)
    assert verification.verdict == "incomplete"
    assert {link.code for link in verification.links if link.verdict == "unchecked"} == {"link-refused"}


def test_the_report_that_a_credential_names_is_compared(world):
    path = world.write("mid")
    reports = []
    for number in (1, 2):
        report = world.folder / f"r{number}" / "report.json"
        report.parent.mkdir()
        report.write_bytes(b'{"n":%d}' % number)
        write_record(report, "report", materials=[material_of("track", path, artefact=report)])
        sign_path(report, world.key)
        reports.append(report)
    world.issuer().issue(path, reports[0])
    sign_path(path, world.key)

    def said(report):
        return [link.code for link in verify_path(report, world.trust).links if link.name == "credential"]

    assert [said(report) for report in reports] == [["ok"], ["ok", "other-report"]]
