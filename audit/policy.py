"""Thresholds and rules of the gate, read from a TOML file and checked against ``policies/policy.schema.json``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import inf
from pathlib import Path
from typing import Any

from audit.findings import Verdict
from ledger.digest import canonical_json, hash_bytes

POLICIES = Path(__file__).parent / "policies"
MAX_BYTES = 2**20
CUSTOM_ALONE = 10  # the percentile speaks alone only where E is within so many times the review threshold


class PolicyError(ValueError):
    """Raised when a policy can't be used; the message names file, key, value and rule."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A checked policy; `values` holds every effective value, as the report prints it.

    Attributes
    ----------
    digest : str
        SHA-256 (hex) of the canonical JSON of `values`.
    """

    name: str
    values: dict[str, Any]
    digest: str

    @property
    def required(self) -> tuple[str, ...]:
        """Checks that must have been made."""
        return tuple(self.values["gate"]["required"])

    @property
    def review_blocks(self) -> bool:
        """Whether "review" stops the release."""
        return bool(self.values["gate"]["review_blocks"])

    @property
    def require_signature(self) -> bool:
        """Whether an unsigned track fails."""
        return bool(self.values["provenance"]["require_signature"])

    def judge_copy(
        self, evalue: float, percentile: float, matched: int, bars: float = inf, common: bool = False
    ) -> Verdict:
        """Judge one passage: "fail" when chance and custom both speak, "review" when one does.

        Parameters
        ----------
        evalue, percentile : float
            See `audit.findings.Finding`.
        matched, bars : int, float
            Aligned notes, and length in bars of the track; shorter passages than ``copy.min_notes`` or
            ``copy.min_bars`` are always clear.
        common : bool
            Whether the passage is a common figure: its E-value counts ``copy.common_factor`` times, and the
            percentile does not speak alone.
        """
        copy = self.values["copy"]
        if matched < copy["min_notes"] or bars < copy["min_bars"]:
            return "clear"
        evalue *= copy["common_factor"] if common else 1
        unusual = not common and percentile >= copy["review_percentile"]
        if evalue <= copy["fail_evalue"] and percentile >= copy["fail_percentile"]:
            return "fail"
        return "review" if evalue <= copy["review_evalue"] * (CUSTOM_ALONE if unusual else 1) else "clear"

    def judge_sound(self, evalue: float) -> Verdict:
        """Judge a near-duplicate by its E-value (`audit.findings.SoundMatch`)."""
        sound = self.values["sound"]
        if evalue <= sound["fail_evalue"]:
            return "fail"
        return "review" if evalue <= sound["review_evalue"] else "clear"

    def is_common(self, commonplace: str, other_works: int) -> bool:
        """Whether a passage is a common figure: by its shape (`audit.figures`), or as so many works hold it."""
        return bool(commonplace) or other_works >= self.values["copy"]["common_works"]

    def allowance(self, paths: Sequence[str], artist: str, licence: str) -> str:
        """Say which rule of ``copy.allow`` lets a piece be used, or return "".

        Parameters
        ----------
        paths : sequence of str
            Of the piece, and of the oldest piece of its duplicate group.
        artist, licence : str
            As the store lists them.
        """
        allow = self.values["copy"]["allow"]
        if licence and licence in allow["licences"]:
            return f"licence {licence}"
        if artist and artist in allow["artists"]:
            return f"artist {artist}"
        return next((f"pieces {p}" for p in allow["pieces"] if any(fnmatchcase(path, p) for path in paths)), "")

    def judge_metric(self, name: str, value: float) -> Verdict:
        """Judge one metric by its thresholds, inclusive; "clear" where the policy has none."""
        rule = self.values["metrics"].get(name, {})
        for verdict in ("fail", "review"):
            above, below = rule.get(f"{verdict}_above"), rule.get(f"{verdict}_below")
            if (above is not None and value >= above) or (below is not None and value <= below):
                return verdict
        return "clear"


def read_policy(path: str | Path | None = None) -> Policy:
    """Read the policy at `path`, or the default one.

    Raises
    ------
    PolicyError
        When the file can't be read, is no TOML, or breaks the schema.
    """
    file = Path(path) if path is not None else POLICIES / "default.toml"
    try:
        if file.stat().st_size > MAX_BYTES:
            raise PolicyError(f"{file}: larger than {MAX_BYTES} bytes; a policy is a short text")
        values = tomllib.loads(file.read_bytes().decode("utf-8"))
    except OSError as error:
        raise PolicyError(f"{file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PolicyError(f"{file}: is not valid TOML: {error}") from error
    return check_policy(values, str(file))


def check_policy(values: dict[str, Any], name: str) -> Policy:
    """Check policy values against the schema and fill in the defaults.

    Raises
    ------
    PolicyError
        Naming the key, the value and the rule that it breaks.
    """
    from jsonschema import Draft202012Validator

    schema = json.loads((POLICIES / "policy.schema.json").read_bytes())
    errors = sorted(Draft202012Validator(schema).iter_errors(values), key=lambda e: [str(p) for p in e.absolute_path])
    if errors:
        where = ".".join(map(str, errors[0].absolute_path)) or "the file"
        raise PolicyError(f"{name}: {where}: {errors[0].message}")
    effective = {
        "schema": values["schema"],
        "name": values["name"],
        "description": values.get("description", ""),
        "gate": {"required": ["copy", "metrics"], "review_blocks": False, **values.get("gate", {})},
        "copy": {
            **{"review_percentile": 1.0, "min_notes": 6, "min_bars": 0, "common_works": 10, "common_factor": 1e3},
            **values["copy"],
            "allow": {"licences": [], "artists": [], "pieces": [], **values["copy"].get("allow", {})},
        },
        "sound": {"fail_evalue": 1e-6, "review_evalue": 1e-2, **values.get("sound", {})},
        "metrics": values.get("metrics", {}),
        "provenance": {"require_signature": False, **values.get("provenance", {})},
    }
    copy = effective["copy"]
    if copy["fail_evalue"] > copy["review_evalue"]:
        raise PolicyError(
            f"{name}: copy.fail_evalue {copy['fail_evalue']} is above copy.review_evalue {copy['review_evalue']}"
        )
    return Policy(effective["name"], effective, hash_bytes(canonical_json(effective)).hex)
