"""Values that a shape allows, and values that it does not."""

import re

# Tried in turn for a string with a pattern.
CANDIDATES = [
    "a", "ab", "abc", "a1b2", "1", "12", "000000000000", "us-east-1", "a-b", "/a", "/a/b", "a/b", "t", "true", "*",
    "ami-0123456789abcdef0", "sg-0123456789abcdef0", "arn:aws:iam::000000000000:role/absent", "Absent", "AAAAAAAA",
    "sha256:" + "0" * 64, "0" * 64, "0123456789abcdef0123456789abcdef", "00000000-0000-4000-8000-000000000000",
    "arn:aws:acm:us-east-1:000000000000:certificate/00000000-0000-4000-8000-000000000000", "a.example.com",
    "arn:aws:application-autoscaling:us-east-1:000000000000:scalable-target/0123456789abcdef",
    "arn:aws:events:us-east-1:000000000000:rule/absent", "rate(1 minute)", "2026-01-01T00:00:00Z", "HTTP", "200",
    "{}", "YQ==", "a@example.com", "AKIAAAAAAAAAAAAAAAAA", "ecs", "service/default/absent", "default", "10.0.0.0/16",
]


class NoValue(Exception):
    """No value is known that a shape would take."""


def pattern(text):
    """A model's pattern as Python has it: one that stands for the whole string."""
    for java, python in {
        r"\p{L}": "a-zA-Z", r"\p{Z}": " ", r"\p{N}": "0-9", r"\p{M}": "", r"\p{Print}": r"\x20-\x7e",
        r"\p{Alnum}": "a-zA-Z0-9", r"\p{ASCII}": r"\x00-\x7f", r"\p{S}": "$", r"\p{P}": "!",
        r"\uD800\uDC00-\uDBFF\uDFFF": "", r"\x{10FFFF}": r"\U0010ffff", r"\z": r"\Z",
    }.items():
        text = text.replace(java, python)
    return re.compile(re.sub(r"\\x\{([0-9A-Fa-f]+)\}", lambda m: f"\\U{int(m[1], 16):08x}", text))


class Values:
    """Values of one service's shapes. `known` has values by the names of members, so that requests reach what is there."""

    def __init__(self, service, known):
        self.service, self.known = service, known

    def right(self, shape_name, member="", depth=0, full=False):
        """A value that the shape allows: required members only, or with `full` the optional ones of this level."""
        shape = self.service.shape(shape_name)
        if depth and member in self.known and self._fits(shape, self.known[member]):
            return self.known[member]
        if depth > 8:
            raise NoValue(shape_name)
        match shape["type"]:
            case "structure":
                return self._structure(shape, depth, full)
            case "list":
                one = shape["member"]["shape"]
                return [self.right(one, singular(member), depth + 1)] * max(1, int(shape.get("min", 1)))
            case "map":
                key = self.right(shape["key"]["shape"], "", depth + 1)
                return {key: self.right(shape["value"]["shape"], "", depth + 1)}
            case "string":
                return self.string(shape)
            case "integer" | "long":
                return int(shape.get("min", min(1, shape.get("max", 1))))
            case "double" | "float":
                return float(shape.get("min", 1))
            case "boolean":
                return True
            case "timestamp":
                return 1_700_000_000
            case "blob":
                return "YQ=="
        raise NoValue(shape_name)

    def _structure(self, shape, depth, full):
        wanted = list(shape.get("required", []))
        if shape.get("union") and not wanted:
            wanted = [next(iter(shape["members"]))]
        if full:
            wanted = list(shape["members"])
        made = {}
        for name in wanted:
            member = shape["members"][name]
            made[name] = self.right(member["shape"], name, depth + 1)
        return made

    def _fits(self, shape, value):
        kinds = {"string": str, "list": list, "structure": dict, "integer": int, "long": int, "boolean": bool}
        fits = isinstance(value, kinds.get(shape["type"], ()))
        if fits and shape["type"] == "list":
            return all(self._fits(self.service.shape(shape["member"]["shape"]), each) for each in value)
        return fits

    def string(self, shape, length=None):
        """A string that the shape allows, of a certain length if one is given."""
        if "enum" in shape:
            return shape["enum"][0]
        least = int(shape.get("min", 1)) if length is None else length
        most = int(shape.get("max", 1 << 20)) if length is None else length
        compiled = pattern(shape["pattern"]) if "pattern" in shape else None
        padded = [text.ljust(least, "a") for text in CANDIDATES] + ["1" * max(least, 1), "a" * max(least, 1)]
        for text in padded:
            if len(text) <= most and (compiled is None or compiled.fullmatch(text)):
                return text
        raise NoValue(shape.get("pattern"))


def singular(name):
    """What an entry of a list is called by those who name lists in the plural."""
    return name.removesuffix("s")


def wrong_types(shape):
    """JSON values that are not of the shape's type."""
    match shape["type"]:
        case "structure" | "map":
            return ["text", [1]]
        case "list":
            return ["text", {"a": 1}]
        case "string":
            return [{"a": 1}, [1]]
        case "integer" | "long" | "double" | "float":
            return ["many", {}]
        case "boolean":
            return ["perhaps", [True]]
        case "timestamp":
            return [{}, [1]]
    return []


def beyond(shape, values):
    """Values just outside what the shape allows, each with what is wrong with it."""
    if "enum" in shape:
        yield "word", "NO_SUCH_WORD"
        return
    low, high = shape.get("min"), shape.get("max")
    match shape["type"]:
        case "string":
            if low is not None and low > 0:
                yield "too short", "a" * (int(low) - 1)
            if high is not None and high <= 5_000:
                yield "too long", "a" * (int(high) + 1)
            if "pattern" in shape:
                compiled = pattern(shape["pattern"])
                text = "\x01".ljust(int(low or 1), "\x01")
                if not compiled.fullmatch(text):
                    yield "pattern", text
        case "integer" | "long":
            if low is not None and low > -(1 << 31):
                yield "too small", int(low) - 1
            if high is not None and high < (1 << 31) - 1:
                yield "too large", int(high) + 1
        case "list":
            try:
                one = values.right(shape["member"]["shape"], "", 1)
            except NoValue:
                return
            if low is not None and low > 0:
                yield "too few", [one] * (int(low) - 1)
            if high is not None and high <= 500:
                yield "too many", [one] * (int(high) + 1)
