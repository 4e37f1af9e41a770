"""Prints, as JSON, the resources that a template of SAM makes under these parameters, without making them.

synthesize.py TEMPLATE [NAME=VALUE ...]
"""

import json
import sys
from pathlib import Path

from ministack.services.cloudformation import engine

template, *parameters = sys.argv[1:]
given = [dict(zip(("Key", "Value"), parameter.split("=", 1))) for parameter in parameters]
text = Path(template).read_text().replace("CodeUri: build/", "CodeUri: s3://code/code.zip")
parsed = engine._apply_transforms(engine._parse_template(text), given)
values = engine._resolve_parameters(parsed, given)
conditions = engine._evaluate_conditions(parsed, values)
engine._evaluate_rules(parsed, values, conditions)


def resolved(value):
    return engine._resolve_refs(value, {}, values, conditions, parsed.get("Mappings", {}), "ees", "id")


def is_made(part):
    return conditions.get(part.get("Condition"), True)


made = {name: resolved(part) for name, part in parsed["Resources"].items() if is_made(part)}
outputs = {name: resolved(part["Value"]) for name, part in parsed["Outputs"].items() if is_made(part)}
print(json.dumps({"Resources": made, "Outputs": outputs}))
