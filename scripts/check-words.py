#!/usr/bin/env python3
"""Checks that no file of the repository names a machine: no home directories, no registry hosts, no private addresses.

What a file names must be there on every machine. Cargo.lock is left out: Cargo writes the index's address there.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = {"Cargo.lock", "scripts/check-words.py", "scripts/checks_test.py"}
FORBIDDEN = {
    "a home directory": re.compile(r"/root/|/home/[a-z]"),
    "a directory of one machine": re.compile(r"(?<![\w./-])/work/"),
    "a registry host": re.compile(r"registry\.npmjs\.org|pypi\.org|files\.pythonhosted\.org|static\.crates\.io|index\.crates\.io|deb\.debian\.org"),
    "a host that does not exist": re.compile(r"example\.invalid"),
    "an unfinished part": re.compile(r"\b(TODO|FIXME|XXX)\b"),
}


def tracked_files():
    """Everything that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()


def findings(name):
    """The forbidden words of one file, with their lines. Files that are not text have none."""
    try:
        text = (ROOT / name).read_text()
    except (UnicodeDecodeError, FileNotFoundError):
        return
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in FORBIDDEN.items():
            if found := pattern.search(line):
                yield f"{name}:{number}: {what}: `{found.group()}`"


def main():
    found = [finding for name in tracked_files() if name not in LEFT_OUT for finding in findings(name)]
    print("\n".join(found) or "words: none that does not belong here")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
