"""A folder with a store, models, a track and a report, all signed, with the log and contributions."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from ledger.provenance.contributions import add_contribution
from ledger.provenance.record import digest_of, material_of, write_record
from ledger.provenance.sign import sign_path
from ledger.signing import keyring
from ledger.signing.log import TransparencyLog

KEY, SECOND = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))


MADE_WITH = {"code": {"contraste": "0.1.0"}, "hardware": {"cores": 2}}


def sign_world(root: Path) -> None:
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


S, T = "store", "out/t.mid"
