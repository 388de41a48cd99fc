"""Read what `contraste export` wrote with other people's tools, in the environment of `make interop-c2pa`.

Called with ``croissant FILE`` or ``cyclonedx FILE``; prints JSON of what the tool found.
"""

import json
import sys
import warnings
from pathlib import Path

kind, file = sys.argv[1:]
if kind == "croissant":
    import mlcroissant

    warnings.simplefilter("ignore")
    dataset = mlcroissant.Dataset(jsonld=file)
    issues = dataset.metadata.ctx.issues
    records = list(dataset.records("pieces"))
    text = {
        name.removeprefix("pieces/"): value.decode() if isinstance(value, bytes) else value
        for name, value in records[0].items()
    }
    found = {"errors": list(issues.errors), "warnings": list(issues.warnings), "pieces": len(records), "first": text}
else:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    found = {"error": str(JsonStrictValidator(SchemaVersion.V1_6).validate_str(Path(file).read_text()) or "")}
json.dump(found, sys.stdout, default=str)
