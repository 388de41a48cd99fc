"""How long a full offline check of a track with its credential takes: statement, content, record, C2PA.

    python bench/credentials.py [--minutes 3] [--runs 20]

Times are of this process, after imports, with the file in the page cache; the first check is given apart.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.certificates import create_certificates, load_chain
from ledger.credential import read_credential
from ledger.issue import Issuer
from ledger.keys import key_id
from ledger.provenance import material_of, sign_path, write_record
from ledger.trust import Trust
from ledger.verify import verify_path


def milliseconds(call: object, runs: int) -> list[float]:
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        call()  # type: ignore[operator]
        taken.append(1000 * (time.perf_counter() - start))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = ec.generate_private_key(ec.SECP256R1())
        trusted = {key_id(key.public_key()): key.public_key()}
        create_certificates(folder, key)
        issuer = Issuer(key, load_chain(folder, key.public_key()))
        for made in ("store", "model"):
            (folder / made).mkdir()
            (folder / made / "content").write_bytes(bytes(1000))
        store, model, track = folder / "store", folder / "model", folder / "track.wav"
        write_record(store, "dataset")
        write_record(model, "model", materials=[material_of("dataset", store, artefact=model)])
        sound = np.random.default_rng(0).normal(0, 0.1, (int(60 * options.minutes * 44100), 2))
        soundfile.write(track, sound, 44100, subtype="PCM_16")
        write_record(track, "track", materials=[material_of("model", model, artefact=track)], parameters={"seed": 1})
        (signed,) = milliseconds(lambda: issuer.issue(track), 1)
        for path in (store, model, track):
            sign_path(path, key)
        checked = verify_path(track, trusted)
        assert checked.verdict == "ok", checked.links
        whole = milliseconds(lambda: verify_path(track, trusted), options.runs)
        alone = milliseconds(lambda: read_credential(track, Trust(trusted)), options.runs)
        print(f"{track.stat().st_size / 1e6:.1f} MB, {options.minutes:g} minutes; {len(checked.links)} links")
        print(f"credential issued           {signed:6.0f} ms")
        for label, taken in (("track, model and data set", whole), ("of which the credential", alone)):
            print(f"{label:27s} {statistics.median(taken):6.1f} ms median, {max(taken):6.1f} ms worst of {len(taken)}")


if __name__ == "__main__":
    main()
