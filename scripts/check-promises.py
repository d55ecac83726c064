#!/usr/bin/env python3
"""Checks that what the product promises was shown by the tests of the last full run.

Reads tests/promises.toml and nextest's JUnit report. Fails when a promise names neither a test nor a command, when
a named test does not exist, did not run or did not pass, or when a command is not one that CI runs.

    scripts/check-promises.py [PROMISES [REPORT]]
"""

import re
import sys
import tomllib
import xml.etree.ElementTree as xml
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KEYS = {"id", "text", "tests", "commands"}


def outcomes(report):
    """Test name as promises.toml writes it (`it::module::name`, `lib::module::name`) to whether it passed."""
    found = {}
    for suite in xml.parse(report).getroot().iter("testsuite"):
        # nextest calls the library's own tests by the package and a binary's by package::binary.
        _, _, binary = suite.get("name").partition("::")
        for case in suite.iter("testcase"):
            bad = any(case.find(mark) is not None for mark in ("failure", "error", "skipped"))
            found[f"{binary or 'lib'}::{case.get('name')}"] = not bad
    return found


def commands_of_ci():
    """The commands that CI runs, one a line."""
    lines = (ROOT / ".ci/run").read_text().splitlines()
    return {line.strip() for line in lines}


def problems(promises, passed, ci):
    """One line for each thing that is wrong."""
    seen = set()
    for promise in promises:
        name = promise.get("id", "?")
        if not re.fullmatch(r"[a-z0-9-]+", name):
            yield f"`{name}`: an id is made of lower-case letters, digits and hyphens"
        if name in seen:
            yield f"`{name}`: listed twice"
        seen.add(name)
        if unknown := set(promise) - KEYS:
            yield f"`{name}`: unknown key {', '.join(sorted(unknown))}"
        if not promise.get("text"):
            yield f"`{name}`: has no text"
        if not promise.get("tests") and not promise.get("commands"):
            yield f"`{name}`: nothing shows it: name a test or a command"
        for test in promise.get("tests", []):
            if test not in passed:
                yield f"`{name}`: test `{test}` does not exist or did not run"
            elif not passed[test]:
                yield f"`{name}`: test `{test}` did not pass"
        for command in promise.get("commands", []):
            if command not in ci:
                yield f"`{name}`: command `{command}` is not a line of .ci/run"


def main(arguments):
    promises_file = Path(arguments[0]) if arguments else ROOT / "tests/promises.toml"
    report = Path(arguments[1]) if len(arguments) > 1 else ROOT / "target/nextest/default/junit.xml"
    promises = tomllib.loads(promises_file.read_text()).get("promise", [])
    found = list(problems(promises, outcomes(report), commands_of_ci()))
    for line in found:
        print(f"{promises_file.name}: {line}", file=sys.stderr)
    if found or not promises:
        print(f"promises: {len(found)} problems with {len(promises)} promises", file=sys.stderr)
        return 1
    print(f"promises: {len(promises)} shown")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
