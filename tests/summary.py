#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Turns ctest's JUnit file into the last line of ./check: "N passed, N failed, N skipped".
# Exit status 1 if a test failed or did not run, or if there is no such file.
import sys
import xml.etree.ElementTree as ElementTree


def verdict(case):
    """ctest writes run, fail, notrun or disabled; a test that skipped itself has <skipped>."""
    if case.find("skipped") is not None or case.get("status") == "disabled":
        reason = case.find("skipped")
        missing = reason is not None and "Unable to find" in (reason.get("message") or "")
        return "failed" if missing else "skipped"
    return "passed" if case.get("status") == "run" else "failed"


def main():
    try:
        cases = ElementTree.parse(sys.argv[1]).getroot().iter("testcase")
    except (OSError, ElementTree.ParseError) as error:
        print(f"check: the tests left no result ({error})")
        print("0 passed, 1 failed, 0 skipped")
        sys.exit(1)
    names = {"passed": [], "failed": [], "skipped": []}
    for case in cases:
        names[verdict(case)].append(case.get("name"))
    for what in ("skipped", "failed"):
        for name in names[what]:
            print(f"{what}: {name}")
    print(", ".join(f"{len(names[what])} {what}" for what in ("passed", "failed", "skipped")))
    sys.exit(1 if names["failed"] or not names["passed"] else 0)


main()
