"""Every operation that Wharf has typed, asked rightly and wrongly: see `conformance`. `CONFORMANCE_WRITE=1` writes the
table of SPECIFICATION.md anew, `CONFORMANCE_SHOW=all` prints every case that is not right."""

import os

import pytest

from conformance import report
from conformance.cases import Case, Expected, cases
from conformance.judge import verdict
from conformance.models import examples, services
from conformance.values import Values
from conformance.wire import Wire
from conformance.world import World
from lib import server

# They remove what other operations show.
LAST = ("Delete", "Deregister", "Stop", "Remove", "Disable", "Terminate", "Set", "Update", "Put")
# Their answer is the end of the server's own node, or a wait of minutes.
NEVER = {("ecs", "DeregisterContainerInstance")}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with server.running(tmp_path_factory.mktemp("conformance") / "data") as wharf:
        yield World(wharf)


class Tally:
    """What was asked of a service, and what went wrong."""

    def __init__(self):
        self.built, self.unbuilt, self.count, self.wrong = set(), set(), 0, []

    def ask(self, wire, service, case):
        answer = wire.send(case.operation, case.body)
        if answer.status == 501 and f":{case.operation} is not built" in answer.message:
            self.unbuilt.add(case.operation)
            return
        self.built.add(case.operation)
        self.count += 1
        why = verdict(service, case, answer)
        if why:
            self.wrong.append(f"{case.operation}, {case.what}: {why}")

    def sums(self):
        return len(self.built), self.count, self.count - len(self.wrong)


@pytest.mark.parametrize("name", services())
def test_every_operation_asked_rightly_and_wrongly(world, name):
    service, tally = services()[name], Tally()
    wire = Wire(world.wharf, service)
    for operation in sorted(service.operations, key=lambda each: (each.startswith(LAST), each)):
        if (name, operation) in NEVER:
            continue
        world.ensure()
        for case in cases(service, operation, Values(service, world.known(name))):
            tally.ask(wire, service, case)
            if operation in tally.unbuilt:
                break
    judge(name, tally)


def test_the_published_examples_of_ecs(world):
    service, tally = services()["ecs"], Tally()
    wire = Wire(world.wharf, service)
    world.ensure()
    for example in examples("ecs"):
        if ("ecs", example["operation"]) not in NEVER:
            tally.ask(wire, service, Case(example["operation"], "as published", example["input"], Expected.FAIR))
    assert tally.wrong == []
    assert tally.count >= 20


def judge(name, tally):
    """Nothing may be wrong that was right, and no case may be gone."""
    if os.environ.get("CONFORMANCE_WRITE"):
        report.write(report.promised() | {name: tally.sums()})
        return
    shown = tally.wrong if os.environ.get("CONFORMANCE_SHOW") == "all" else tally.wrong[:20]
    built, count, right = tally.sums()
    promised = report.promised()[name]
    assert built >= promised[0] and count >= promised[1] and right >= promised[2], (
        f"{built} operations, {count} cases, {right} right; promised {promised}:\n" + "\n".join(shown))
