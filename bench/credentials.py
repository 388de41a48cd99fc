"""How long a full offline check of a track with its credential takes: statement, content, record, C2PA.

    python bench/credentials.py [--minutes 3] [--runs 20]

Times are of this process, after imports, with the file in the page cache. Where others use the machine, the processor
time says more.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from cryptography.hazmat.primitives.asymmetric import ec

from ledger.exchange.credential import read_credential
from ledger.exchange.credential_issue import Issuer
from ledger.provenance.record import material_of, write_record
from ledger.provenance.sign import sign_path
from ledger.signing.certificates import create_certificates, load_chain
from ledger.signing.keys import key_id
from ledger.signing.trust import Trust
from ledger.verify import verify_path


def milliseconds(call: Callable[[], object], runs: int) -> tuple[list[float], list[float]]:
    """Wall and processor time of each call."""
    wall, processor = [], []
    for _ in range(runs):
        start = time.perf_counter(), time.process_time()
        call()
        wall.append(1000 * (time.perf_counter() - start[0]))
        processor.append(1000 * (time.process_time() - start[1]))
    return wall, processor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--runs", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = ec.generate_private_key(ec.SECP256R1())
        trusted = {key_id(key.public_key()): key.public_key()}
        create_certificates(folder, key.public_key())
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
        signed, _ = milliseconds(lambda: issuer.issue(track), 1)
        for path in (store, model, track):
            sign_path(path, key)
        checked = verify_path(track, trusted)
        assert checked.verdict == "ok", checked.links
        whole = milliseconds(lambda: verify_path(track, trusted), options.runs)
        alone = milliseconds(lambda: read_credential(track, Trust(trusted)), options.runs)
        print(f"{track.stat().st_size / 1e6:.1f} MB, {options.minutes:g} minutes; {len(checked.links)} links")
        print(f"credential issued           {signed[0]:6.0f} ms")
        for label, (wall, processor) in (("track, model and data set", whole), ("of which the credential", alone)):
            middle = statistics.median(wall), statistics.median(processor)
            print(f"{label:27s} {middle[0]:6.1f} ms wall, {middle[1]:6.1f} ms CPU (median), {max(wall):6.1f} ms worst")


if __name__ == "__main__":
    main()
