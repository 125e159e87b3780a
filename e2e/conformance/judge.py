"""What is wrong with an answer, if anything is."""

import math

from .cases import Expected

# What any operation may answer beside what it declares, and what says that a request cannot be read.
COMMON = {
    "AccessDenied", "AccessDeniedException", "ClientException", "InvalidAction", "LimitExceededException",
    "ThrottlingException", "UnsupportedOperation",
}
UNREADABLE = {"SerializationException", "MalformedInput", "InvalidRequest"}
# What services answer though the model of the operation does not say so: AWS's do the same.
UNDECLARED = {
    "cloudwatch": {
        "ValidationException", "InvalidParameterCombinationException", "InvalidParameterValueException",
        "MissingRequiredParameterException",
    },
    "elbv2": {"InvalidConfigurationRequest"},
    "ssm": {"DoesNotExistException"},
}
# Words that AWS's services say though their enumerations lack them.
WORDS = {("ec2", ".InternetGateways[0].Attachments[0].State", "available")}
# EC2's model declares no errors: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
FREE = {"ec2": ("DryRunOperation", "Invalid", "Missing", "Incorrect", "Unknown", "Unsupported", "Duplicate", "VersionNotFound", "IdempotentParameterMismatch")}


def verdict(service, case, answer):
    """Why the answer is wrong; none if it is right. An answer of 501 names what is not built."""
    if answer.status == 501:
        return None if len(answer.message) > 20 else "501 without a sentence"
    if answer.status >= 500:
        return f"a fault of ours: {answer}"
    if answer.status < 300:
        if case.expected is not Expected.FAIR:
            return f"taken, though it is wrong: {answer}"
        output = service.operations[case.operation].get("output", {}).get("shape")
        return misshapen(service, output, answer.value, "") if output else None
    if not answer.code or not answer.message:
        return f"an error without code or message: {answer}"
    allowed = service.errors(case.operation) | COMMON | {service.validation} | UNDECLARED.get(service.name, set())
    if case.expected is Expected.UNREADABLE:
        allowed = UNREADABLE | {service.validation} | UNDECLARED.get(service.name, set())
    known = answer.code in allowed or answer.code.startswith(FREE.get(service.name, ("\0",)))
    return None if known else f"an error that the operation does not have: {answer.code}: {answer.message}"


def misshapen(service, shape_name, value, at):
    """Where a value is not what its shape says."""
    shape = service.shape(shape_name)
    match shape["type"]:
        case "structure":
            return structure(service, shape, value, at)
        case "list":
            if not isinstance(value, list):
                return f"{at}: not a list"
            one = shape["member"]["shape"]
            return first(misshapen(service, one, each, f"{at}[{n}]") for n, each in enumerate(value))
        case "map":
            if not isinstance(value, dict):
                return f"{at}: not a map"
            of = shape["value"]["shape"]
            return first(misshapen(service, of, each, f"{at}.{key}") for key, each in value.items())
        case "string":
            if not isinstance(value, str):
                return f"{at}: {value!r} is not a string"
            if "enum" in shape and value not in shape["enum"] and (service.name, at, value) not in WORDS:
                return f"{at}: {value!r} is none of {shape['enum']}"
        case "integer" | "long":
            if not isinstance(value, int) or isinstance(value, bool):
                return f"{at}: {value!r} is not a whole number"
        case "double" | "float":
            if not isinstance(value, (int, float)) or isinstance(value, bool) or math.isnan(value):
                return f"{at}: {value!r} is not a number"
        case "boolean":
            if not isinstance(value, bool):
                return f"{at}: {value!r} is not true or false"
        case "timestamp":
            if isinstance(value, bool) or not hasattr(value, "year") and not isinstance(value, (int, float)):
                return f"{at}: {value!r} is not an instant"
    return None


def structure(service, shape, value, at):
    if not isinstance(value, dict):
        return f"{at}: {value!r} is not a structure"
    for name in shape.get("required", []):
        if name not in value:
            return f"{at}.{name}: it is always there"
    for name, each in value.items():
        if name not in shape["members"]:
            return f"{at}.{name}: the model has no such member"
    return first(misshapen(service, shape["members"][name]["shape"], each, f"{at}.{name}") for name, each in value.items())


def first(found):
    return next((each for each in found if each), None)
