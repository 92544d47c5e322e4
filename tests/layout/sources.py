# SPDX-License-Identifier: Apache-2.0
# The tree's source files, and C++ text without what is only comment or string.
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CODE_FOLDERS = ("src", "tests", "bench", "firmware")


def files(folders=CODE_FOLDERS, suffixes=(".cpp", ".h")):
    """Paths relative to the root, sorted."""
    found = []
    for folder in folders:
        found += [p for p in (ROOT / folder).rglob("*") if p.suffix in suffixes and p.is_file()]
    return sorted(p.relative_to(ROOT) for p in found)


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


_NOT_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^(\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'',
    re.DOTALL)


def code(source):
    """`source` with comments and literals blanked; every newline stays where it is."""
    def blank(match):
        inside = match.group(0)
        if inside.startswith("'") and len(inside) > 12:  # digit separators, not a character
            return inside
        return "".join(c if c == "\n" else " " for c in inside)
    return _NOT_CODE.sub(blank, re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", "0", source))


def finish(problems, what):
    """Prints the problems and exits: 1 if there are any."""
    for problem in problems:
        print(problem)
    print(f"{what}: {len(problems)} problem(s)")
    sys.exit(1 if problems else 0)
