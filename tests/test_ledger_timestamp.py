"""RFC 3161 time stamps, in credentials and beside statements, by an authority of our own: ``openssl ts`` over HTTP."""

import shutil
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from ledger.errors import Malformed, SignatureInvalid, SignerUnknown, TimeStampUnavailable
from ledger.exchange.credential import read_credential
from ledger.exchange.credential_issue import Issuer
from ledger.provenance.record import read_record, write_record
from ledger.provenance.sign import sign_path
from ledger.provenance.signed import read_signed
from ledger.signing.keys import key_id, load_certificates
from ledger.signing.timestamp import check_time_stamp, in_order, stamp_file, time_stamp
from ledger.signing.trust import Revocation, Trust
from ledger.verify import verify_path
from tests.credential_cases import FILES, World, holder, roots

pytest.importorskip("c2pa")
pytest.importorskip("rfc3161_client")
pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed: no authority to ask")

CONFIG = """
[tsa]
default_tsa = ours
[ours]
serial = {folder}/serial
signer_cert = {folder}/certificate.pem
signer_key = {folder}/test-key.pem
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256, sha384, sha512
ess_cert_id_alg = sha256
"""


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@contextmanager
def serving(answer):
    """Serve `answer(query)` to every POST, on a free loopback port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            content = answer(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def tsa(world):
    key, _, authority = world.signer("tsa", purposes=[ExtendedKeyUsageOID.TIME_STAMPING])
    folder = world.folder / "keys-tsa"
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "test-key.pem").write_bytes(key.private_bytes(*plain))
    (folder / "serial").write_text("01\n")
    (folder / "ts.cnf").write_text(CONFIG.format(folder=folder))

    def answer(query):
        (folder / "query").write_bytes(query)
        words = ("-queryfile", folder / "query", "-config", folder / "ts.cnf", "-out", folder / "answer")
        subprocess.run(["openssl", "ts", "-reply", *words], check=True, capture_output=True)
        return (folder / "answer").read_bytes()

    with serving(answer) as url:
        yield SimpleNamespace(url=url, roots=roots(authority), folder=folder, answer=answer)


def _stamped(world, tsa, path):
    file = sign_path(path, world.key)
    signature = read_signed(path, world.trust).envelope.signature
    stamp_file(file).write_bytes(time_stamp(signature, tsa.url))
    return file, signature


@pytest.mark.parametrize("kind", ["wav", "mid"])
def test_a_credential_carries_its_time(world, tsa, kind):
    path = world.track(kind, tsa=tsa.url)
    assert read_credential(path, world.trust).time is None  # nobody trusts that authority yet
    found = read_credential(path, Trust(world.trust, tsa.roots))
    assert found.verdict == "trusted"
    assert abs(found.time - datetime.now(UTC)) < timedelta(minutes=5)
    assert "signed by" in found.detail
    before = holder(path).read_bytes()
    world.issuer(tsa=tsa.url).issue(path)
    assert holder(path).read_bytes() == before


def test_a_time_stamp_outlives_the_certificate(world, tsa):
    key, chain, _ = world.signer("short", days=1 / 24 + 3 / 86400)
    keys = {key_id(key.public_key()): key.public_key()}
    stamped, plain = world.write("wav", "stamped"), world.write("wav", "plain")
    Issuer(key, chain, tsa=tsa.url).issue(stamped)
    Issuer(key, chain).issue(plain)
    time.sleep(4)
    trust = Trust(keys, tsa.roots)
    assert read_credential(stamped, trust).verdict == "trusted"
    assert read_credential(stamped, Trust(keys)).verdict == "unknown"
    assert read_credential(plain, trust).verdict == "unknown"


def test_what_was_stamped_before_the_revocation_stays_trusted(world, tsa):
    path, now, identifier = world.track("flac", tsa=tsa.url), datetime.now(UTC), key_id(world.key.public_key())

    def verdict(since, trusted):
        revoked = {identifier: Revocation(identifier, since, "stolen")}
        return read_credential(path, Trust(world.trust, trusted, revoked)).verdict

    assert verdict(now + timedelta(days=1), tsa.roots) == "trusted"
    assert verdict(now - timedelta(days=1), tsa.roots) == "revoked"
    assert verdict(now + timedelta(days=1), ()) == "revoked"  # the time is anybody's word


def test_a_statement_carries_its_time(world, tsa):
    path = world.track("wav")
    file, signature = _stamped(world, tsa, path)
    assert check_time_stamp(file, signature, ()) is None
    assert abs(check_time_stamp(file, signature, tsa.roots) - datetime.now(UTC)) < timedelta(minutes=5)
    for trusted, verdict in ((tsa.roots, "ok"), ((), "absent")):
        verification = verify_path(path, Trust(world.trust, trusted))
        assert verification.fault.name == "model"  # which nobody signed here
        assert [link.verdict for link in verification.links if link.name == "time stamp"] == [verdict]


def test_openssl_accepts_it_too(world, tsa):
    file, signature = _stamped(world, tsa, world.track("mid"))
    data = world.folder / "signature"
    data.write_bytes(signature)
    words = ("-data", data, "-in", stamp_file(file), "-CAfile", tsa.folder / "ca.pem")
    ran = subprocess.run(["openssl", "ts", "-verify", *words], check=False, capture_output=True, text=True)
    assert "Verification: OK" in ran.stdout + ran.stderr


def test_a_time_stamp_of_something_else_is_broken(world, tsa):
    first, second = world.track("mid", "first"), world.track("mid", "second")
    file, _ = _stamped(world, tsa, first)
    other, signature = _stamped(world, tsa, second)
    shutil.copy(stamp_file(file), stamp_file(other))
    with pytest.raises(SignatureInvalid, match="about another signature"):
        check_time_stamp(other, signature, tsa.roots)
    verification = verify_path(second, Trust(world.trust, tsa.roots))
    assert (verification.verdict, verification.fault.name) == ("broken", "time stamp")


def test_an_altered_time_stamp_is_not_believed(world, tsa):
    path = world.track("mid")
    file, signature = _stamped(world, tsa, path)
    whole = stamp_file(file).read_bytes()
    believed = []
    for at in range(0, len(whole), 3):
        stamp_file(file).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            if check_time_stamp(file, signature, tsa.roots) is not None:
                believed.append(at)
        except (Malformed, SignatureInvalid):
            pass
    times = whole.index(b"Z", whole.index(b"20"))
    assert not [at for at in believed if abs(at - times) < 16], believed
    for junk in (b"", b"junk", b"\x30\x84\xff\xff\xff\xff", whole[:-10]):
        stamp_file(file).write_bytes(junk)
        with pytest.raises(Malformed, match=r"is no RFC 3161 time stamp"):
            check_time_stamp(file, signature, tsa.roots)


@pytest.mark.parametrize("wrong", ["nobody there", "no URL", "junk", "of another query"])
def test_an_authority_that_does_not_answer_rightly(world, tsa, wrong):
    path, file = world.write("wav"), world.folder / "x.sig"
    before = path.read_bytes()
    answers = {"junk": lambda query: b"junk", "of another query": lambda query: old_answer}
    query = world.folder / "other.tsq"
    words = ("-digest", "00" * 32, "-sha256", "-cert", "-out", query)
    subprocess.run(["openssl", "ts", "-query", *words], check=True, capture_output=True)
    old_answer = tsa.answer(query.read_bytes())
    with serving(answers.get(wrong, lambda query: b"")) as server:
        url = {"nobody there": "http://127.0.0.1:1/", "no URL": "file:///etc/passwd"}.get(wrong, server)
        with pytest.raises(TimeStampUnavailable, match="gave no time stamp of"):
            time_stamp(b"signature", url)
        with pytest.raises(TimeStampUnavailable, match="gave no time stamp for"):
            world.issuer(tsa=url).issue(path)
    assert path.read_bytes() == before
    assert not stamp_file(file).exists()


def test_a_track_and_its_rendering_are_renewed_together_or_not_at_all(world, tsa):
    path = world.track("mid")
    wav = world.folder / "track.wav"
    wav.write_bytes(FILES["wav"]())
    origin = read_record(path).origin
    write_record(path, "track", materials=origin.materials, also=[wav.name])
    world.issuer().issue(path)
    before = [holder(path).read_bytes(), wav.read_bytes()]
    asked = []

    def answer_once(query):
        asked.append(query)
        return tsa.answer(query) if len(asked) == 1 else b"junk"

    with serving(answer_once) as url, pytest.raises(TimeStampUnavailable, match=r"track\.wav"):
        world.issuer(tsa=url).issue(path)
    assert [holder(path).read_bytes(), wav.read_bytes()] == before


def test_a_statement_stamped_before_the_revocation_stays_good_with_its_credential(world, tsa):
    path, identifier = world.track("wav"), key_id(world.key.public_key())
    _stamped(world, tsa, path)

    def said(days, trusted):
        since = datetime.now(UTC) + timedelta(days=days)
        trust = Trust(world.trust, trusted, {identifier: Revocation(identifier, since, "stolen")})
        links = verify_path(path, trust).links
        return [(link.name, link.code) for link in links if link.name in ("key", "credential")]

    assert said(1, tsa.roots) == [("key", "signed-before-revocation"), ("credential", "ok")]
    assert said(-1, tsa.roots) == [("key", "key-revoked"), ("credential", "key-revoked")]
    assert said(1, ()) == [("key", "key-revoked"), ("credential", "key-revoked")]  # the time is anybody's word


def test_a_certificate_for_time_stamps_signs_no_statements(world):
    key, _, authority = world.signer("stamps", purposes=[ExtendedKeyUsageOID.TIME_STAMPING])
    path = world.write("wav")
    sign_path(path, key, load_certificates(world.folder / "keys-stamps" / "certificate.pem"))
    with pytest.raises(SignerUnknown, match="is not for signatures"):
        read_signed(path, Trust({}, roots(authority)))


@pytest.mark.parametrize("order", [1, -1])
def test_an_answer_with_several_certificates_is_read_in_any_order(world, tsa, order):
    """OpenSSL and public authorities send leaf and chain as they come, which is not always the order of DER."""
    chain = [tsa.folder / name for name in ("ca.pem", "certificate.pem")][::order]
    (tsa.folder / "chain.pem").write_text("".join(file.read_text() for file in chain))
    with (tsa.folder / "ts.cnf").open("a") as config:
        config.write(f"certs = {tsa.folder}/chain.pem\n")
    path = world.track("mid")
    file, signature = _stamped(world, tsa, path)
    answer = stamp_file(file).read_bytes()
    held = [load_certificates(one)[0].public_bytes(serialization.Encoding.DER) for one in chain]
    assert all(der in answer for der in held)
    swapped = answer.replace(held[0] + held[1], held[1] + held[0])
    for found in {answer, swapped, in_order(answer)}:
        assert sorted(in_order(found)) == sorted(answer)
        stamp_file(file).write_bytes(found)
        assert check_time_stamp(file, signature, tsa.roots) is not None
        links = verify_path(path, Trust(world.trust, tsa.roots)).links
        assert [link.verdict for link in links if link.name == "time stamp"] == ["ok"]


def test_what_is_no_answer_comes_back_as_it_is():
    for junk in (
        b"",
        b"junk",
        b"\x30",
        b"\x30\x80\0\0",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x03\x02\x01\0",
        b"\x1f\x81\0",
    ):
        assert in_order(junk) == junk


def test_an_authority_that_sends_elsewhere_or_drips_is_not_waited_for(world, tsa, monkeypatch):
    class Elsewhere(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(307)
            self.send_header("Location", tsa.url)
            self.end_headers()

        def log_message(self, *_):
            pass

    class Drip(Elsewhere):
        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"0")
                    time.sleep(0.05)

    monkeypatch.setattr("ledger.signing.timestamp.TIMEOUT_S", 0.4)
    for handler, reason in ((Elsewhere, "Temporary Redirect"), (Drip, "within 0.4 s")):
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with pytest.raises(TimeStampUnavailable, match=reason):
                time_stamp(b"signature", f"http://127.0.0.1:{server.server_port}/")
        finally:
            server.shutdown()
            server.server_close()
