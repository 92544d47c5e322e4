#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Prints, room by room and file by file, how many lines of src/ the tests ran.
# Usage: coverage.py BUILD_DIRECTORY, after running the tests of a build with EMU_COVERAGE=ON.
import collections
import json
import pathlib
import subprocess
import sys
import sources


def count_lines(build):
    """{source: {line: times}} over all object files."""
    counts = collections.defaultdict(collections.Counter)
    for data in build.rglob("*.gcda"):
        output = subprocess.run(["gcov", "--json-format", "--stdout", str(data)], cwd=data.parent,
                                capture_output=True, text=True).stdout
        for document in output.splitlines():
            for source in json.loads(document)["files"]:
                path = pathlib.Path(source["file"])
                if path.is_relative_to(sources.ROOT / "src"):
                    for line in source["lines"]:
                        counts[path][line["line_number"]] += line["count"]
    return counts


def show(name, lines):
    ran = sum(1 for times in lines.values() if times)
    print(f"{100 * ran / max(1, len(lines)):6.1f} % of {len(lines):5} lines  {name}")


def main():
    counts = count_lines(pathlib.Path(sys.argv[1]))
    rooms = collections.defaultdict(dict)
    for path, lines in sorted(counts.items()):
        name = path.relative_to(sources.ROOT / "src")
        show(name, lines)
        rooms[name.parts[0]].update({(name, n): times for n, times in lines.items()})
    for room, lines in sorted(rooms.items()):
        show(f"room {room}", lines)


main()
