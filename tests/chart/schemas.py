#!/usr/bin/env python3
"""Writes the schemas that a running API server publishes as files for kubeconform.

    kubectl must reach the server;  schemas.py FOLDER;  kubeconform -strict -schema-location 'FOLDER/{{.ResourceKind}}{{.KindSuffix}}.json'

Unlike schemas from a catalog these are of exactly the server's version, know its custom resources, and need no network.
"""
import json
import subprocess
import sys

COMPONENT = "#/components/schemas/"


def published(path):
    return json.loads(subprocess.run(["kubectl", "get", "--raw", path], check=True, stdout=subprocess.PIPE).stdout)


def strict(schema):
    """As kubeconform reads it: references into the same file, no unknown fields, both types of an int-or-string."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: strict(value) for key, value in schema.items()}
    if isinstance(out.get("$ref"), str):
        out["$ref"] = out["$ref"].replace(COMPONENT, "#/definitions/")
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string") is True:
        out.pop("format", None)
        out.pop("oneOf", None)
        out["type"] = ["integer", "string"]
    closed = isinstance(schema.get("properties"), dict) and "additionalProperties" not in schema
    if closed and not schema.get("x-kubernetes-preserve-unknown-fields"):
        out["additionalProperties"] = False
    return out


def needed(name, schemas, found):
    """The schema and all that it refers to."""
    if name not in found:
        found[name] = strict(schemas[name])
        text = json.dumps(schemas[name])
        for part in text.split('"' + COMPONENT)[1:]:
            needed(part.split('"')[0], schemas, found)
    return found


def main(folder):
    written = 0
    for path in published("/openapi/v3")["paths"]:
        if not path.startswith(("api/", "apis/")):
            continue
        schemas = published("/openapi/v3/" + path).get("components", {}).get("schemas", {})
        for name, schema in schemas.items():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                group = kind["group"].split(".")[0]
                file = "-".join(part.lower() for part in (kind["kind"], group, kind["version"]) if part)
                with open(f"{folder}/{file}.json", "w", encoding="utf-8") as out:
                    json.dump({"$ref": "#/definitions/" + name, "definitions": needed(name, schemas, {})}, out)
                written += 1
    if not written:
        sys.exit("schemas: the server publishes none")


main(sys.argv[1])
