"""Ask the second C2PA engine about files; runs in an environment of its own, which `make interop-c2pa` makes.

Reads a JSON list of ``{"file", "type", "sidecar", "allowed", "authorities"}`` from stdin and prints, for each, the
verdict in the words of `ledger.exchange.credential` and the codes of what failed. Nothing is sent anywhere.
"""

import json
import sys
from pathlib import Path

import encypher_c2pa


def judge(job: dict[str, str]) -> tuple[str, list[str]]:
    data = Path(job["file"]).read_bytes()
    # The engine knows no MIDI; a store from outside covers all bytes of its asset, whatever they are.
    media_type = "audio/ogg" if job["type"] == "audio/midi" else job["type"]
    sidecar = Path(job["sidecar"]).read_bytes() if job["sidecar"] else None
    if media_type == "audio/ogg" and sidecar is None:
        return "none", []
    try:
        report = encypher_c2pa.verify(
            data, media_type, manifest_store=sidecar, trust_pem=job["authorities"] or None,
            tsa_trust_pem=job["authorities"] or None, allowed_list_pem=job["allowed"] or None,
            no_default_trust=True, telemetry=False, online=False,
        )  # fmt: skip
    except ValueError as error:
        return "tampered", [str(error)]
    codes = [failure["code"] for failure in report["validation_results"]["failure"]]
    if report["validation_state"] == "Trusted":
        return "trusted", codes
    if not report["present"]:
        return "none", codes
    signer_only = all(code.startswith(("signingCredential.", "claimSignature.outsideValidity")) for code in codes)
    return ("unknown" if signer_only else "tampered"), codes


print(json.dumps([judge(job) for job in json.load(sys.stdin)]))
