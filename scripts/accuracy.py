#!/usr/bin/env python3
"""Prints what summaries of `plumbline demo --summary` say, in the words of docs/accuracy.md.

    scripts/accuracy.py SUMMARY.json...
"""

import json
import sys


def share(part, whole):
    return f"{part} of {whole}" + (f" ({100 * part / whole:.2f} %)" if whole else "")


def report(file):
    with open(file, encoding="utf-8") as text:
        said = json.load(text)
    decided = said["found"] + said["missed"]
    lines = [
        ("recall", share(said["found"], decided)),
        ("false reports", str(said["false_reports"])),
        ("undecided faults", share(said["undecided"], said["planted"])
            + "".join(f", {count} {why}" for why, count in said["undecided_why"].items())),
        ("unknown checks", share(said["unknown"], said["checks"])),
        ("late faults", share(said["late"], said["found"])),
        ("lags inside their bounds", share(said["lag_checked"] - said["lag_outside"], said["lag_checked"])),
        ("lag interval, p95", f"{said['lag_width_p95_secs']:.2f} s"),
        ("estimates that hold the truth", share(said["estimates_checked"] - said["estimates_outside"], said["estimates_checked"])),
        ("unnoticed disturbances", share(said["unnoticed"], len(said["disturbances"]))),
    ]
    lines += [(f"cost of {system}", f"{cost['calls']} calls, {cost['records']} records") for system, cost in said["cost"].items()]
    print(file)
    for name, value in lines:
        print(f"  {name:<31}{value}")
    print("  fault       found  median  longest  reported as")
    for fault, row in said["matrix"].items():
        delay = said["delays"].get(fault, {"found": 0, "median_secs": 0.0, "longest_secs": 0.0})
        words = ", ".join(f"{word} {count}" for word, count in row.items())
        print(f"  {fault:<11}{delay['found']:>6}{delay['median_secs']:>7.1f}s{delay['longest_secs']:>8.1f}s  {words}")


for argument in sys.argv[1:]:
    report(argument)
