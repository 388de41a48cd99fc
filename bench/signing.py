"""Time of signing and verifying a large model, beside the reference implementation of model signing in the same run.

    python bench/signing.py --peer .interop/bin/python [--mib 1024] [--files 4] [--folder DIR]

Each figure is that of whole processes: sign, then verify by key, P-256, method files, warm page cache, best of three;
wall seconds and CPU seconds (user and system). Ours runs as it is used, on files older than two seconds: "sign" with an
empty hash cache, and "verify" reads every byte again. With --cache "verify" takes the digests over. Runs of ours and of
the peer alternate, as the load of the machine changes. Last one file of the folder is changed, which is timed inside
one process without the imports.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization

Seconds = tuple[float, float]
CONTRASTE = Path(sys.executable).parent / "contraste"


def timed(*commands: list[str | Path]) -> Seconds:
    """Run commands that must succeed; return wall and CPU seconds of all."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def alternating(runs: dict[str, Callable[[], Seconds]], times: int = 3) -> dict[str, object]:
    """Run each in turn, several times; return the best of each."""
    found: dict[str, list[Seconds]] = {name: [] for name in runs}
    for _ in range(times):
        for name, run in runs.items():
            found[name].append(run())
    return {name: written(min(seconds)) for name, seconds in found.items()}


def written(seconds: Seconds) -> dict[str, float]:
    return {"wall_s": round(seconds[0], 3), "cpu_s": round(seconds[1], 3)}


def make_model(folder: Path, mib: int, files: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        file = folder / f"weights-{number:04d}.bin"
        if not file.exists():
            file.write_bytes(os.urandom(mib * 1024 * 1024 // files))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--peer", type=Path, help="Python of an environment with model-signing")
    arguments.add_argument("--mib", type=int, default=1024)
    arguments.add_argument("--files", type=int, default=4)
    arguments.add_argument("--folder", type=Path, help="where the model is kept for the next run")
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        measure(given, scratch, (given.folder or scratch) / "model")


def measure(given: argparse.Namespace, scratch: Path, model: Path) -> None:
    make_model(model, given.mib, given.files)
    os.environ.update(CONTRASTE_HOME=str(scratch / "home"), CONTRASTE_PASSWORD="bench")
    key = scratch / "keys"
    timed([CONTRASTE, "keys", "new", key])
    sign: list[str | Path] = [CONTRASTE, "sign", model, "--key", key]
    verify: list[str | Path] = [CONTRASTE, "verify", model]

    def emptied(*commands: list[str | Path]) -> Seconds:
        (scratch / "home" / "hashes.sqlite").unlink(missing_ok=True)
        return timed(*commands)

    time.sleep(2.1)  # the cache leaves out what was written within two seconds
    runs = {
        "sign": lambda: emptied(sign),
        "verify": lambda: timed(verify),
        "verify --cache": lambda: timed([*verify, "--cache"]),
        "sign and verify": lambda: emptied(sign, verify),
        "sign --no-cache": lambda: timed([*sign, "--no-cache"]),
    }
    if given.peer:
        peer_sign, peer_verify = peer(given.peer, key, scratch, model)
        runs |= {
            "peer sign": lambda: timed(peer_sign),
            "peer verify": lambda: timed(peer_verify),
            "peer sign and verify": lambda: timed(peer_sign, peer_verify),
        }
    figures: dict[str, object] = {"mib": given.mib, "files": given.files, "cores": os.cpu_count()}
    figures["load"] = round(os.getloadavg()[0], 1)
    figures |= alternating(runs)
    figures["verify, one file changed, in process"] = one_changed(model)
    print(json.dumps(figures, indent=1))


def peer(python: Path, key: Path, scratch: Path, model: Path) -> tuple[list[str | Path], list[str | Path]]:
    """Return the commands by which model-signing signs with the same key and verifies."""
    from ledger.signing.signer import load_signer

    private = load_signer(key, lambda: "bench").key
    text = private.private_bytes(  # type: ignore[attr-defined]  # their command line can't use encrypted keys
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (scratch / "plain.pem").write_bytes(text)
    tool, signature = python.parent / "model_signing", scratch / "peer.sig"
    return (
        [tool, "sign", "key", "--private_key", scratch / "plain.pem", "--signature", signature, model],
        [tool, "verify", "key", "--public_key", key / "public.pem", "--signature", signature, model],
    )


def one_changed(model: Path) -> dict[str, float]:
    """Time the check of a folder of which one small file changed, after the imports."""
    from ledger.hashes.hashcache import HashCache
    from ledger.paths import data_folder
    from ledger.provenance.digests import Digests
    from ledger.signing.keyring import trusted_keys
    from ledger.verify import verify_path

    (model / "config.json").write_bytes(os.urandom(100))
    start, cpu = time.perf_counter(), time.process_time()
    found = verify_path(model, trusted_keys(), digests=Digests(HashCache(data_folder() / "hashes.sqlite")))
    taken = written((time.perf_counter() - start, time.process_time() - cpu))
    (model / "config.json").unlink()
    if found.verdict != "broken":
        raise SystemExit("the changed file was not found")
    return taken


if __name__ == "__main__":
    main()
