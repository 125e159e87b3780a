#!/usr/bin/env python3
"""Extracts the facts of AWS service models from an installed botocore into models/*.json.

Usage: models.py BOTOCORE_DATA_DIR MODELS_DIR [SERVICE...]

What is kept is what a wire needs: operations, shapes, members, constraints, error codes and
pagination. All prose is dropped. Which services are extracted is said by MODELS_DIR/services.json;
of a service that is "trim" there, operations that are not typed keep their names only, and shapes
that no typed operation reaches are left out (EC2 has 4,414 of them). One that is "own" there is not
AWS's: its model is written by hand.
The output is one line an operation and one line a shape, so that the difference between two
versions of a service reads well.
"""

import gzip
import json
import pathlib
import sys

METADATA = ["apiVersion", "awsQueryCompatible", "endpointPrefix", "jsonVersion", "protocol", "protocols", "signingName",
            "targetPrefix", "xmlNamespace", "serviceId"]
SHAPE = ["type", "required", "enum", "min", "max", "pattern", "sensitive", "flattened",
         "timestampFormat", "union", "eventstream", "document", "exception", "fault"]
MEMBER = ["shape", "locationName", "flattened", "timestampFormat", "jsonvalue", "idempotencyToken",
          "queryName", "streaming"]
PAGINATION = ["input_token", "output_token", "limit_key", "result_key", "more_results"]


def only(source, keys):
    return {key: source[key] for key in keys if key in source}


def shape(source):
    facts = only(source, SHAPE)
    error = source.get("error")
    if error:
        facts["error"] = only(error, ["code", "httpStatusCode", "senderFault"])
    if "members" in source:
        facts["members"] = {name: only(member, MEMBER) for name, member in source["members"].items()}
    for inner in ("member", "key", "value"):
        if inner in source:
            facts[inner] = only(source[inner], MEMBER)
    return facts


def operation(source, pagination):
    facts = {}
    for way in ("input", "output"):
        if way in source:
            facts[way] = only(source[way], ["shape", "resultWrapper"])
    facts["errors"] = [error["shape"] for error in source.get("errors", [])]
    host = source.get("endpoint", {}).get("hostPrefix")
    if host:
        facts["hostPrefix"] = host
    if pagination:
        facts["pagination"] = only(pagination, PAGINATION)
    return facts


def read(path):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return json.load(file)


def newest(folder, stem):
    for version in sorted((entry for entry in folder.iterdir() if entry.is_dir()), reverse=True):
        for suffix in (".json", ".json.gz"):
            path = version / (stem + suffix)
            if path.exists():
                return path
    return None


def version(data):
    """The version of the botocore whose data this is."""
    for line in (data.parent / "__init__.py").read_text().splitlines():
        if line.startswith("__version__"):
            return line.split("=")[1].strip().strip("'\"")
    sys.exit(f"{data.parent} is no botocore: its __init__.py has no __version__")


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True)


def section(name, entries):
    lines = ",\n".join(f"{compact(key)}:{compact(value)}" for key, value in sorted(entries.items()))
    return f'"{name}":{{\n{lines}\n}}'


def trim(operations, shapes, typed):
    """Drops what the typed operations do not reach; errors stay, they are few and all have codes."""
    for name in operations:
        if name not in typed:
            operations[name] = {}
    wanted = [name for name, facts in shapes.items() if facts.get("exception")]
    for facts in operations.values():
        wanted += [facts[way]["shape"] for way in ("input", "output") if way in facts]
    reached = set()
    while wanted:
        name = wanted.pop()
        if name not in reached:
            reached.add(name)
            facts = shapes[name]
            inner = list(facts.get("members", {}).values())
            inner += [facts[way] for way in ("member", "key", "value") if way in facts]
            wanted += [reference["shape"] for reference in inner]
    for name in set(shapes) - reached:
        del shapes[name]


def extract(data, service, plan):
    folder = data / service
    model = read(newest(folder, "service-2"))
    paginators = newest(folder, "paginators-1")
    pages = read(paginators)["pagination"] if paginators else {}
    metadata = only(model["metadata"], METADATA)
    operations = {name: operation(source, pages.get(name)) for name, source in model["operations"].items()}
    shapes = {name: shape(source) for name, source in model["shapes"].items()}
    if plan.get("trim"):
        trim(operations, shapes, plan["operations"])
    source = f"botocore {version(data)}, data/{service}/{newest(folder, 'service-2').parent.name}"
    return "{\n" + ",\n".join([
        f'"source":{compact(source)}',
        f'"metadata":{compact(metadata)}',
        section("operations", operations),
        section("shapes", shapes),
    ]) + "\n}\n"


def spelled(model, name, request):
    """A request of EC2's as its protocol spells the members, which differs from what the SDKs call them."""
    members = model["shapes"][model["operations"][name]["input"]["shape"]]["members"]
    location = {member: facts.get("queryName", facts.get("locationName", member)) for member, facts in members.items()}
    wire = {member: place[:1].upper() + place[1:] for member, place in location.items()}
    return {wire.get(member, member): value for member, value in request.items()}


def examples(data, service, plan):
    """The published example requests and responses: values only."""
    path = newest(data / service, "examples-1")
    model = read(newest(data / service, "service-2"))
    ec2 = model["metadata"]["protocol"] == "ec2"
    cases = []
    for name, entries in sorted(read(path)["examples"].items()):
        if plan.get("trim") and name not in plan["operations"]:
            continue
        for entry in entries:
            case = {"operation": name, **only(entry, ["input", "output"])}
            if ec2 and "input" in case:
                case["input"] = spelled(model, name, case["input"])
            cases.append(case)
    return "[\n" + ",\n".join(compact(case) for case in cases) + "\n]\n"


def main():
    data, models = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    services = json.loads((models / "services.json").read_text())
    for service in sys.argv[3:] or services:
        plan = services[service]
        if plan.get("own"):
            continue
        (models / f"{service}.json").write_text(extract(data, service, plan))
        print(f"models/{service}.json")
        if plan.get("examples"):
            (models / "examples").mkdir(exist_ok=True)
            (models / "examples" / f"{service}.json").write_text(examples(data, service, plan))
            print(f"models/examples/{service}.json")


if __name__ == "__main__":
    main()
