"""The table of `SPECIFICATION.md` that says how many cases there are and how many pass; neither may fall."""

import pathlib
import re

PAGE = pathlib.Path(__file__).resolve().parents[2] / "SPECIFICATION.md"
BEGIN, END = "<!-- conformance -->", "<!-- /conformance -->"


def promised():
    """By service: operations that answer, cases, and cases that pass."""
    text = PAGE.read_text()
    table = text[text.index(BEGIN):text.index(END)]
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (\d+) \| (\d+) \| (\d+) \|$", table, re.MULTILINE)
    return {name: (int(built), int(count), int(passed)) for name, built, count, passed in rows}


def write(counts):
    """Writes the table anew."""
    lines = ["| service | operations that answer | cases | right |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {built} | {count} | {passed} |" for name, (built, count, passed) in counts.items()]
    text = PAGE.read_text()
    before, after = text[:text.index(BEGIN)], text[text.index(END):]
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{after}")
