#!/usr/bin/env python3
"""Checks the licences and sources of all dependencies against deny.toml, with nothing but cargo and Python.

The same rules as `make deny`, which needs cargo-deny: every dependency comes from the registry, and its licence
expression can be met with allowed licences alone.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# The platform we build for: what only others need is never in a binary of ours.
PLATFORM = "x86_64-unknown-linux-gnu"
TOKENS = re.compile(r"[()]|[A-Za-z0-9.+-]+")


def can_be_met(expression, allowed):
    """Whether an SPDX expression holds for someone who takes `allowed` only. Old crates write `/` for OR."""
    tokens = TOKENS.findall(expression.replace("/", " OR "))

    def either():
        value = both()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            value = both() or value
        return value

    def both():
        value = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            value = one() and value
        return value

    def one():
        token = tokens.pop(0)
        if token == "(":
            value = either()
            tokens.pop(0)
            return value
        if tokens and tokens[0] == "WITH":
            tokens.pop(0)
            token = f"{token} WITH {tokens.pop(0)}"
        return token in allowed

    return either()


def problems(packages, rules):
    """One line for each package that the rules do not let in."""
    allowed = set(rules["licenses"]["allow"])
    exceptions = {entry["crate"]: set(entry["allow"]) for entry in rules["licenses"].get("exceptions", [])}
    for package in packages:
        if package["source"] is None:
            continue
        label = f"{package['name']} {package['version']}"
        if not package["source"].startswith("registry+"):
            yield f"{label}: comes from `{package['source']}`"
        licence = package["license"]
        if not licence:
            yield f"{label}: names no licence"
        elif not can_be_met(licence, allowed | exceptions.get(package["name"], set())):
            yield f"{label}: `{licence}` is not allowed"


def main():
    command = ["cargo", "metadata", "--format-version=1", "--locked", "--all-features", f"--filter-platform={PLATFORM}"]
    answer = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    packages = json.loads(answer.stdout)["packages"]
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    found = list(problems(packages, rules))
    print("\n".join(found) or f"licences: {len(packages)} packages, all allowed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
