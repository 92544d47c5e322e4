#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Every source file starts with its licence; nothing is left to do later, said in a comment.
import re
import sources

LICENCE = "SPDX-License-Identifier: Apache-2.0"
LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
SCRIPT_SUFFIXES = (".py", ".sh", ".cmake", ".asl", ".S", ".asm", ".ld")
ALSO = ("CMakeLists.txt", "run", "check", ".ci/run")


def main():
    problems = []
    paths = sources.files() + sources.files(suffixes=SCRIPT_SUFFIXES)
    for path in paths + [p for p in ALSO if (sources.ROOT / p).is_file()]:
        lines = sources.text(path).splitlines()
        if not any(LICENCE in line for line in lines[:2]):
            problems.append(f"{path}: no licence line at its start")
        if str(path).startswith("tests/layout/"):
            continue
        for number, line in enumerate(lines, 1):
            if LATER.search(line):
                problems.append(f"{path}:{number}: {line.strip()}")
    sources.finish(problems, "layout_text")


main()
