"""Fuzz the parsers of `targets` with atheris: ``python tests/fuzz/run.py [--runs N] [--seconds S] [TARGET...]``.

Each target runs in a process of its own, since libFuzzer ends it. Says how many executions there were, and ends with 1
where one of them ended otherwise than it may, took longer than 10 s, or more than 2 GiB; what did is named, and kept.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import random
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))
OWN = ["audit", "corpus", "generator", "ledger", "music", "reports"]
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**53, 2**63, 2**64, 10**30, 253402300800, 0.5, -1e308, "", "x", "\x1b[2J",
    "\u202e", "0x", "0x00", "..", "/a", "a/b", "é", "2026-05-01T12:00:00Z", "12" * 32, [], {}, [[]], [None], {"": {}},
]  # fmt: skip
MAX_BYTES = 1 << 14


def main() -> int:
    """Run the targets one after another."""
    parser = argparse.ArgumentParser(description="Fuzz the parsers.")
    parser.add_argument("targets", nargs="*")
    parser.add_argument("--runs", type=int, default=100_000, help="Executions of each target, at most.")
    parser.add_argument("--seconds", type=int, default=20, help="Time of each target, at most.")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    import atheris

    with atheris.instrument_imports(include=OWN):
        from tests.fuzz.targets import TARGETS

    total, wrong = 0, []
    for name in options.targets or TARGETS:
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            child = os.fork()  # the imports are the same for all
            if not child:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                _fuzz(name, options.runs, options.seconds, options.seed)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            text = output.read()
        found = re.findall(r"^Done (\d+) runs", text, re.M) or re.findall(r"^#(\d+)", text, re.M) or [0]
        total += int(found[-1])
        print(f"{name:14s} {int(found[-1]):8d} executions{', a finding' if code else ''}", flush=True)
        if code or not int(found[-1]):
            wrong.append(name)
            print(text[-6000:], flush=True)
    print(f"{total} executions, {len(wrong)} targets with a finding: {', '.join(wrong) or 'none'}")
    return 1 if wrong else 0


def _fuzz(name: str, runs: int, seconds: int, seed: int) -> None:
    """Fuzz one target until it ends this process."""
    import atheris

    from tests.fuzz.targets import OURS, TARGETS

    target = TARGETS[name]

    def once(data: bytes) -> None:
        with suppress(*OURS):
            target.run(data)

    def mutate(data: bytes, size: int, number: int) -> bytes:
        """Replace a value of a JSON text by an odd one; every third time, and what is no JSON, bytes."""
        chance = random.Random(number)
        try:
            value = json.loads(data) if chance.random() < 0.67 else None
        except (ValueError, RecursionError):
            value = None
        if value is None:
            return bytes(atheris.Mutate(data, size))
        places = [(value, key) for key in _keys(value)]
        for holder, key in places:
            if len(places) < 2000:
                places += [(holder[key], inner) for inner in _keys(holder[key])]
        if not places:
            return bytes(atheris.Mutate(data, size))
        holder, key = chance.choice(places)
        if chance.random() < 0.15:
            del holder[key]
        elif chance.random() < 0.15 and isinstance(holder, dict):
            holder[str(chance.choice(ODD))] = holder[key]
        else:
            holder[key] = copy.deepcopy(chance.choice([*ODD, *(h[k] for h, k in places[:50])]))
        text = json.dumps(value, separators=(",", ":")).encode()
        return text if len(text) <= size else data

    with tempfile.TemporaryDirectory() as corpus:
        for number, content in enumerate(target.seeds()):
            (Path(corpus) / f"seed-{number}").write_bytes(content)
            once(content)
        limits = [
            f"-runs={runs}",
            f"-max_total_time={seconds}",
            f"-max_len={MAX_BYTES}",
            "-timeout=10",
            "-rss_limit_mb=2048",
        ]
        kept = Path(tempfile.gettempdir()) / f"contraste-fuzz-{name}-"
        arguments = [sys.argv[0], *limits, f"-seed={seed}", f"-artifact_prefix={kept}", corpus]
        atheris.Setup(arguments, once, **({"custom_mutator": mutate} if target.is_json else {}))
        atheris.Fuzz()


def _keys(value: object) -> list[str] | list[int]:
    return list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []


if __name__ == "__main__":
    sys.exit(main())
