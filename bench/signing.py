"""Time of signing and verifying a large model, beside the reference implementation of model signing in the same run.

    python bench/signing.py --peer .interop/bin/python [--mib 1024] [--files 4] [--folder DIR]

Each figure is that of whole processes: sign, then verify by key, P-256, method files, warm page cache, best of three;
wall seconds and CPU seconds (user and system). Ours reads every byte (--no-cache) for the comparison; then the hash
cache is used, and one file of the folder is changed, which is timed inside one process without the imports.
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

CONTRASTE = Path(sys.executable).parent / "contraste"


def timed(command: list[str | Path]) -> tuple[float, float]:
    """Run a command that must succeed; return wall and CPU seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def best(run: Callable[[], tuple[float, float]], times: int = 3) -> dict[str, float]:
    wall, cpu = min(run() for _ in range(times))
    return {"wall_s": round(wall, 3), "cpu_s": round(cpu, 3)}


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
    timed([CONTRASTE, "keys", "new", scratch / "keys"])
    key = scratch / "keys"
    figures: dict[str, object] = {"mib": given.mib, "files": given.files, "cores": os.cpu_count()}
    plain = ["--no-cache"]
    figures["sign"] = best(lambda: timed([CONTRASTE, "sign", model, "--key", key, *plain]))
    figures["verify"] = best(lambda: timed([CONTRASTE, "verify", model, *plain]))
    if given.peer:
        figures |= peer(given.peer, key, model, scratch)
    time.sleep(2.1)  # the cache leaves out what was written within two seconds
    timed([CONTRASTE, "verify", model])
    figures["verify, cached"] = best(lambda: timed([CONTRASTE, "verify", model]))
    figures["verify, one file changed, in process"] = one_changed(model)
    print(json.dumps(figures, indent=1))


def peer(python: Path, key: Path, model: Path, scratch: Path) -> dict[str, object]:
    """Time the command line of model-signing with the same key."""
    from ledger.signer import load_signer

    private = load_signer(key, lambda: "bench").key
    text = private.private_bytes(  # type: ignore[attr-defined]  # their command line can't use encrypted keys
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (scratch / "plain.pem").write_bytes(text)
    tool, signature = python.parent / "model_signing", scratch / "peer.sig"
    sign = [tool, "sign", "key", "--private_key", scratch / "plain.pem", "--signature", signature, model]
    verify = [tool, "verify", "key", "--public_key", key / "public.pem", "--signature", signature, model]
    return {"peer sign": best(lambda: timed(sign)), "peer verify": best(lambda: timed(verify))}


def one_changed(model: Path) -> dict[str, float]:
    """Time the check of a folder of which one small file changed, after the imports."""
    from ledger.hashcache import HashCache
    from ledger.keyring import trusted_keys
    from ledger.keys import data_folder
    from ledger.verify import verify_path

    (model / "config.json").write_bytes(os.urandom(100))
    start, cpu = time.perf_counter(), time.process_time()
    found = verify_path(model, trusted_keys(), cache=HashCache(data_folder() / "hashes.sqlite"))
    taken = {"wall_s": round(time.perf_counter() - start, 3), "cpu_s": round(time.process_time() - cpu, 3)}
    (model / "config.json").unlink()
    if found.verdict != "broken":
        raise SystemExit("the changed file was not found")
    return taken


if __name__ == "__main__":
    main()
