"""The facts of the service models (`models/*.json`): operations, shapes, and which of them Wharf has typed."""

import functools
import json
import pathlib

MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"


class Service:
    """One service as its model states it."""

    def __init__(self, name, settings):
        facts = json.loads((MODELS / f"{name}.json").read_text())
        self.name = name
        self.metadata = facts["metadata"]
        self.shapes = facts["shapes"]
        self.validation = settings["validation_error"]
        self.lenient = set(settings["lenient"])
        typed = settings["operations"]
        names = facts["operations"] if typed == "all" else typed
        self.operations = {operation: facts["operations"][operation] for operation in names}

    @property
    def is_json(self):
        return "json" in self.metadata["protocols"]

    def shape(self, name):
        return self.shapes[name]

    def errors(self, operation):
        """The codes of the errors that an operation declares: in JSON an error goes by the name of its shape."""
        declared = set(self.operations[operation]["errors"])
        return {self._code(name) for name in declared} | (declared if self.is_json else set())

    def _code(self, name):
        return self.shapes.get(name, {}).get("error", {}).get("code", name)


@functools.cache
def services():
    """Every service that Wharf speaks by a generated protocol."""
    settings = json.loads((MODELS / "services.json").read_text())
    return {name: Service(name, each) for name, each in settings.items()}


def examples(name):
    """The requests and answers that AWS has published as examples."""
    return json.loads((MODELS / "examples" / f"{name}.json").read_text())
