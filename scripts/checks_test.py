"""Tests of the checks in this folder: each must fail when it should. Run: python3 scripts/checks_test.py"""

import importlib.util
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent

REPORT = """<testsuites>
  <testsuite name="plumbline">
    <testcase name="model::good"/>
  </testsuite>
  <testsuite name="plumbline::it">
    <testcase name="audit::good"/>
    <testcase name="audit::bad"><failure/></testcase>
    <testcase name="audit::skipped"><skipped/></testcase>
  </testsuite>
</testsuites>"""


def load(name):
    """One of the scripts as a module; their names are no identifiers."""
    spec = importlib.util.spec_from_file_location(name.replace("-", "_"), HERE / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Promises(unittest.TestCase):
    def check(self, promise, expect):
        promises = load("check-promises")
        with tempfile.TemporaryDirectory() as directory:
            report = Path(directory) / "junit.xml"
            report.write_text(REPORT)
            found = list(promises.problems([promise], promises.outcomes(report), {"cargo fmt --check"}))
        self.assertEqual(found, expect)

    def test_shown(self):
        self.check({"id": "a", "text": "t", "tests": ["it::audit::good", "lib::model::good"]}, [])
        self.check({"id": "a", "text": "t", "commands": ["cargo fmt --check"]}, [])

    def test_not_shown(self):
        self.check({"id": "a", "text": "t"}, ["`a`: nothing shows it: name a test or a command"])
        self.check({"id": "a", "text": "t", "tests": ["it::audit::bad"]}, ["`a`: test `it::audit::bad` did not pass"])
        skipped = "it::audit::skipped"
        self.check({"id": "a", "text": "t", "tests": [skipped]}, [f"`a`: test `{skipped}` did not pass"])
        gone = "it::model::good"
        self.check({"id": "a", "text": "t", "tests": [gone]}, [f"`a`: test `{gone}` does not exist or did not run"])
        self.check({"id": "a", "text": "t", "commands": ["true"]}, ["`a`: command `true` is not a line of .ci/run"])

    def test_form(self):
        promise = {"id": "A b", "text": "t", "tests": ["it::audit::good"]}
        self.check(promise, ["`A b`: an id is made of lower-case letters, digits and hyphens"])
        self.check({"id": "a", "text": "t", "tests": ["it::audit::good"], "test": 1}, ["`a`: unknown key test"])
        self.check({"id": "a", "tests": ["it::audit::good"]}, ["`a`: has no text"])


class Licences(unittest.TestCase):
    def test_expressions(self):
        cases = [
            ("MIT", True),
            ("GPL-3.0", False),
            ("MIT OR GPL-3.0", True),
            ("GPL-3.0 OR MIT", True),
            ("MIT AND GPL-3.0", False),
            ("GPL-3.0/MIT", True),
            ("(MIT OR GPL-3.0) AND ISC", True),
            ("(GPL-3.0 OR AGPL-3.0) AND ISC", False),
            ("GPL-3.0 OR MIT AND AGPL-3.0", False),
            ("Apache-2.0 WITH LLVM-exception", True),
            ("GPL-3.0 WITH LLVM-exception", False),
        ]
        licences = load("check-licences")
        allowed = {"MIT", "ISC", "Apache-2.0 WITH LLVM-exception"}
        for expression, expect in cases:
            with self.subTest(expression):
                self.assertEqual(licences.can_be_met(expression, allowed), expect)

    def test_sources(self):
        package = {"name": "a", "version": "1.0.0", "source": "git+ssh://somewhere", "license": None}
        found = list(load("check-licences").problems([package], {"licenses": {"allow": ["MIT"]}}))
        self.assertEqual(found, ["a 1.0.0: comes from `git+ssh://somewhere`", "a 1.0.0: names no licence"])


class Words(unittest.TestCase):
    def test_patterns(self):
        words = load("check-words")
        matching = [
            ("cd /home/ann/x", "a home directory"),
            ("cp a /root/b", "a home directory"),
            ("see /work/x", "a directory of one machine"),
            ("// TODO: later", "an unfinished part"),
        ]
        for line, what in matching:
            with self.subTest(line):
                self.assertTrue(words.FORBIDDEN[what].search(line))
        for line in ["src/work/x", "the homework/ folder", "todo", "/var/lib/plumbline"]:
            with self.subTest(line):
                self.assertFalse(any(pattern.search(line) for pattern in words.FORBIDDEN.values()))


if __name__ == "__main__":
    unittest.main()
