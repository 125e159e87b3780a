"""The cases of an operation: one right request, each optional member right, and everything wrong with each member."""

import dataclasses
import enum

from .values import NoValue, beyond, wrong_types

# How deep into the members of a request cases are made.
DEEP = 3


class Expected(enum.Enum):
    """What an answer has to be."""

    FAIR = "an answer of the model's shape, or an error that the operation declares"
    REFUSED = "an error of validation"
    UNREADABLE = "an error of reading the request"


@dataclasses.dataclass(frozen=True)
class Case:
    """One request."""

    operation: str
    what: str
    body: object
    expected: Expected


def cases(service, operation, values):
    """Every case of an operation."""
    shape_name = service.operations[operation].get("input", {}).get("shape")
    if shape_name is None:
        yield Case(operation, "empty", {}, Expected.FAIR)
        return
    try:
        least = values.right(shape_name)
    except NoValue:
        return
    yield Case(operation, "the least", least, Expected.FAIR)
    if service.is_json:
        yield Case(operation, "a member of a later version", least | {"fromAnotherYear": {"a": [1]}}, Expected.FAIR)
    yield from inside(service, operation, values, shape_name, least, [], lambda body: body)


def inside(service, operation, values, shape_name, least, path, place):
    """Cases of the members of a structure; `place` makes a request of a value for the structure."""
    shape = service.shape(shape_name)
    required = set(shape.get("required", []))
    strict = operation not in service.lenient
    for name, member in shape["members"].items():
        at = [*path, name]
        where = ".".join(at)
        of = service.shape(member["shape"])
        if name in required and strict:
            without = {key: value for key, value in least.items() if key != name}
            # In the Query protocol a structure without members is not there at all.
            if service.is_json or without or len(at) == 1:
                yield Case(operation, f"{where} is missing", place(without), Expected.REFUSED)
        put = placing(place, least, name)
        if strict:
            for what, value in beyond(of, values):
                yield Case(operation, f"{where}: {what}", put(value), Expected.REFUSED)
        if service.is_json:
            for value in wrong_types(of):
                yield Case(operation, f"{where}: a {type(value).__name__}", put(value), Expected.UNREADABLE)
        try:
            right = values.right(member["shape"], name, 1)
        except NoValue:
            continue
        if name not in required:
            yield Case(operation, f"with {where}", put(right), Expected.FAIR)
        yield from below(service, operation, values, member["shape"], right, at, put)


def below(service, operation, values, shape_name, right, at, put):
    """Cases of what stands in a member: in the structure that it is, or in the first of its list."""
    shape = service.shape(shape_name)
    if len(at) >= DEEP:
        return
    if shape["type"] == "structure" and isinstance(right, dict):
        yield from inside(service, operation, values, shape_name, right, at, put)
    elif shape["type"] == "list" and isinstance(right, list) and right and isinstance(right[0], dict):
        one = shape["member"]["shape"]
        if service.shape(one)["type"] == "structure":
            yield from inside(service, operation, values, one, right[0], at, lambda body: put([body, *right[1:]]))


def placing(place, around, name):
    """Puts a value in for one member."""
    return lambda value: place({**around, name: value})
