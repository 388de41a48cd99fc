"""What statements say: the predicates that this program writes and reads.

data set, model, folder and file without a record
    OpenSSF model signing 1.0: ``resources`` and ``serialization``, and nothing else, by its JSON Schema. Where the
    artefact comes from stands under the one key ``contraste`` of the subject's ``annotations``, which in-toto leaves to
    the signer. Bundles of other tools lack it.
track, and the training run of a model
    SLSA provenance 1.0. ``externalParameters`` are seed and settings, ``internalParameters`` the hardware,
    ``resolvedDependencies`` the model or data set, ``builder.version`` the code.
report
    Our own, ``REPORT_PREDICATE``; its JSON Schema is ``ledger/schemas/audit-report-v1.schema.json``.
contributions of people
    Our own, ``CONTRIBUTIONS_PREDICATE``, with ``ledger/schemas/contributions-v1.schema.json``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ledger.errors import Malformed
from ledger.hashes.digest import Digest
from ledger.hashes.manifest import Manifest, Method, root_digest
from ledger.signing.statement import Material, Origin, Statement, json_array, json_object

CONTENT_PREDICATE = "https://model_signing/signature/v1.0"
RUN_PREDICATE = "https://slsa.dev/provenance/v1"
REPORT_PREDICATE = "https://contraste.dev/audit-report/v1"
CONTRIBUTIONS_PREDICATE = "https://contraste.dev/contributions/v1"
ORIGIN_KEY = "contraste"
BUILD_TYPES = {"track": "https://contraste.dev/generation/v1", "model": "https://contraste.dev/training/v1"}
BUILDER_ID = "https://contraste.dev/generator/v1"
SCHEMAS = {REPORT_PREDICATE: "audit-report-v1.schema.json", CONTRIBUTIONS_PREDICATE: "contributions-v1.schema.json"}


@cache
def _validator(predicate_type: str) -> Any:
    from jsonschema import Draft202012Validator

    schema = json.loads((Path(__file__).parents[1] / "schemas" / SCHEMAS[predicate_type]).read_text())
    return Draft202012Validator(schema)


def validate(predicate_type: str, predicate: object) -> None:
    """Return None if a predicate follows the JSON Schema of its type, else raise `Malformed` with the first fault."""
    error = next(_validator(predicate_type).iter_errors(predicate), None)
    if error is not None:
        place = ".".join(map(str, error.absolute_path)) or "predicate"
        text = (
            error.message if len(error.message) <= 200 else f"...{error.message[-200:]}"
        )  # the rule stands at the end
        raise Malformed(f"{place}: {text} ({SCHEMAS[predicate_type]})")


def content_statement(name: str, manifest: Manifest, origin: Origin) -> Statement:
    """Return the model signing statement for a folder or a single file; the root digest is the subject."""
    method = manifest.method
    algorithm = _algorithm(method)
    resources = [
        {"name": file, "digest": digest.hex, "algorithm": algorithm} for file, digest in manifest.files.items()
    ]
    serialization: dict[str, Any] = {
        "method": "files" if method.shard_bytes is None else "shards",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": list(method.ignored),
    }
    if method.shard_bytes is not None:
        serialization["shard_size"] = method.shard_bytes
    predicate = {"resources": resources, "serialization": serialization}
    return Statement({name: manifest.root}, CONTENT_PREDICATE, predicate, {name: {ORIGIN_KEY: origin.to_json()}})


def file_statement(subjects: Mapping[str, Digest], origin: Origin) -> Statement:
    """Return the statement for a track or report and the files that belong to it, all of them subjects."""
    if origin.kind == "track":
        return run_statement(subjects, origin)
    validate(REPORT_PREDICATE, origin.to_json())
    return Statement(subjects, REPORT_PREDICATE, origin.to_json())


def run_statement(subjects: Mapping[str, Digest], origin: Origin) -> Statement:
    """Return the SLSA provenance of what a run made: a track or a model."""
    dependencies = [
        {
            "name": material.name,
            "digest": {"sha256": material.digest.hex},
            "annotations": {"kind": material.kind, "path": material.path},
        }
        for material in origin.materials
    ]
    builder: dict[str, Any] = {"id": BUILDER_ID}
    if origin.environment:
        builder["version"] = dict(origin.environment["code"])
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPES[origin.kind],
            "externalParameters": dict(origin.parameters),
            "internalParameters": dict(origin.environment.get("hardware", {})),
            "resolvedDependencies": dependencies,
        },
        "runDetails": {"builder": builder},
    }
    return Statement(subjects, RUN_PREDICATE, predicate)


def contributions_statement(name: str, content: Digest, entries: list[Any]) -> Statement:
    """Return the statement that people made these contributions to an artefact."""
    predicate = {"entries": entries}
    validate(CONTRIBUTIONS_PREDICATE, predicate)
    return Statement({name: content}, CONTRIBUTIONS_PREDICATE, predicate)


def origin_of(statement: Statement) -> Origin | None:
    """Return what a statement says about the origin of its subjects; None where another tool said nothing.

    Raises
    ------
    Malformed
        For an unknown predicate type, or a predicate that is not as this program writes it.
    """
    predicate = statement.predicate
    if statement.predicate_type == CONTENT_PREDICATE:
        origins = [notes[ORIGIN_KEY] for notes in statement.annotations.values() if ORIGIN_KEY in notes]
        return Origin.from_json(origins[0]) if origins else None
    if statement.predicate_type == REPORT_PREDICATE:
        validate(REPORT_PREDICATE, predicate)
        return Origin.from_json(predicate)
    if statement.predicate_type != RUN_PREDICATE:
        raise Malformed(f"predicate type {statement.predicate_type!r} says nothing about the content of a path")
    entry = json_object(predicate, "predicate", {"buildDefinition", "runDetails"})
    build = json_object(
        entry["buildDefinition"],
        "buildDefinition",
        {"buildType", "externalParameters", "internalParameters", "resolvedDependencies"},
    )
    kinds = {build_type: kind for kind, build_type in BUILD_TYPES.items()}
    if not isinstance(build["buildType"], str) or build["buildType"] not in kinds:
        raise Malformed(f"buildType {build['buildType']!r} is not one of {', '.join(kinds)}")
    materials = []
    for item in json_array(build["resolvedDependencies"], "resolvedDependencies"):
        dependency = json_object(item, "resolvedDependencies", {"name", "digest", "annotations"})
        notes = json_object(dependency["annotations"], "annotations", {"kind", "path"})
        materials.append(Material.from_json(notes | {"name": dependency["name"], "digest": dependency["digest"]}))
    builder = json_object(
        json_object(entry["runDetails"], "runDetails", {"builder"})["builder"], "builder", {"id"}, {"version"}
    )
    environment = {}
    if "version" in builder:
        environment = {"code": builder["version"], "hardware": build["internalParameters"]}
    return Origin(kinds[build["buildType"]], tuple(materials), build["externalParameters"], environment)


def signed_manifest(statement: Statement) -> Manifest:
    """Return the manifest that a model signing statement is about.

    Raises
    ------
    Malformed
        If the statement is another one, has more than one subject, its resources are unsorted, named twice, hashed by
        other rules than ours, or do not give the subject's digest.
    """
    if statement.predicate_type != CONTENT_PREDICATE:
        raise Malformed(f"the statement is about a file ({statement.predicate_type}), not about a folder")
    method = _method(statement.predicate.get("serialization"))
    files: dict[str, Digest] = {}
    for item in json_array(statement.predicate.get("resources"), "resources"):
        entry = json_object(item, "resource", {"name", "digest", "algorithm"})
        if entry["algorithm"] not in ("sha256", _algorithm(method)):
            raise Malformed(f"resource algorithm {entry['algorithm']!r} is not sha256")
        if not isinstance(entry["name"], str) or entry["name"] in files:
            raise Malformed(f"the resource {entry['name']!r} stands there twice, or its name is no string")
        files[entry["name"]] = Digest.from_hex(entry["digest"])
    manifest = Manifest(files, method)
    # Part by part as the reference implementation sorts, or by the plain names as the specification can be read.
    if list(files) not in (list(manifest.files), sorted(files)):
        raise Malformed("the resources are not sorted by name")
    if list(statement.subjects.values()) != [root_digest(files.values())]:
        raise Malformed("the subject is not the root digest of the resources")
    return manifest


def _algorithm(method: Method) -> str:
    """Return the name of SHA-256 as the reference implementation writes it, which for shards holds their size."""
    return "sha256" if method.shard_bytes is None else f"sha256-sharded-{method.shard_bytes}"


def _method(value: object) -> Method:
    """Parse ``serialization``."""
    names = {"method", "hash_type"}
    entry = json_object(value, "serialization", names, {"shard_size", "allow_symlinks", "ignore_paths"})
    if entry["hash_type"] != "sha256":
        raise Malformed(f"serialization: hash_type {entry['hash_type']!r} is not sha256")
    ignored = json_array(entry.get("ignore_paths", []), "ignore_paths")
    size = entry.get("shard_size")
    if entry["method"] not in ("files", "shards") or (entry["method"] == "shards") != (size is not None):
        raise Malformed(f"serialization: method {entry['method']!r} with shard_size {size!r} is not known")
    if size is not None and (
        isinstance(size, bool) or not isinstance(size, int | float) or not float(size).is_integer()
    ):
        raise Malformed(f"serialization: shard_size {size!r} is not a whole number")
    return Method(None if size is None else int(size), tuple(sorted(ignored, key=str)))
