#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# *_scalar.cpp runs while the guest's x87 and vector registers are live in the host's. Its object
# files must not name such a register, nor call what may use one: library functions, or functions
# of ours that are in other files and not listed in scalar_doors.txt. Inline functions that the
# linker may take from another object are looked at in the finished programs.
# Usage: scalar.py BUILD_DIRECTORY. Exit status 77: nothing to check.
import fnmatch
import pathlib
import re
import subprocess
import sys
import sources

REGISTER = re.compile(r"%(?:[xyz]mm\d|st\b|mm[0-7]\b|k[1-7]\b)")
LIBRARY = re.compile(r"^_*(mem(cpy|set|move|cmp|chr|mem)|bcmp|str\w+|wmem\w+|wcs\w+|[a-z]*printf\w*)"
                     r"(_chk)?(@.*)?$")


def run(*command):
    return subprocess.check_output(command, text=True, errors="replace")


def functions(binary):
    """Yields (symbol, its disassembled lines)."""
    name, lines = None, []
    for line in run("objdump", "-d", "--no-show-raw-insn", binary).splitlines():
        head = re.match(r"^[0-9a-f]+ <(.+)>:$", line)
        if head:
            if name:
                yield name, lines
            name, lines = head.group(1), []
        elif name:
            lines.append(line)
    if name:
        yield name, lines


def vector_problems(binary, only=None):
    found = []
    for name, lines in functions(binary):
        bad = next((l for l in lines if REGISTER.search(l)), None)
        if bad and (only is None or name in only):
            found.append(f"{pathlib.Path(binary).name}: {name}: {' '.join(bad.split())}")
    return found


def symbols(binary, kinds):
    for line in run("nm", binary).splitlines():
        parts = line.split()
        if len(parts) >= 2 and parts[-2] in kinds:
            yield parts[-1]


def doors():
    """Patterns of the functions in scalar_doors.txt."""
    lines = (sources.ROOT / "tests/layout/scalar_doors.txt").read_text().splitlines()
    return [line.split(": ")[0] for line in lines if line and not line.startswith("#")]


def door_problems(objects, build):
    """Calls out of the scalar objects into functions of ours that may use vector registers."""
    scalar = {s for o in objects for s in symbols(str(o), "TtWVuDdBbRr")}
    wanted = {s for o in objects for s in symbols(str(o), "U")} - scalar
    elsewhere = {s for archive in build.glob("libemu_*.a") for s in symbols(str(archive), "TW")}
    found = []
    for symbol in sorted(wanted & elsewhere):
        name = run("c++filt", symbol).strip()
        if not any(fnmatch.fnmatchcase(name.split("(")[0], pattern) for pattern in doors()):
            users = [o.name for o in objects if symbol in set(symbols(str(o), "U"))]
            found.append(f"{', '.join(users)}: calls {name}, which is not scalar")
    return found


def main():
    build = pathlib.Path(sys.argv[1])
    wanted = [p for p in sources.files(("src",)) if p.name.endswith("_scalar.cpp")]
    objects = sorted(build.glob("CMakeFiles/emu_*.dir/src/**/*_scalar.cpp.o"))
    objects = [o for o in objects if str(o).split(".dir/")[1][:-2] in {str(w) for w in wanted}]
    if not wanted:
        print("scalar: skipped, there are no *_scalar.cpp files")
        sys.exit(77)
    problems = []
    built = {str(o).split(".dir/")[1][:-2] for o in objects}
    problems += [f"{w}: not built below {build}" for w in wanted if str(w) not in built]
    problems += door_problems(objects, build)
    shared = set()
    for o in objects:
        problems += vector_problems(str(o))
        shared |= set(symbols(str(o), "W"))
        problems += [f"{o.name}: calls {s}" for s in symbols(str(o), "U") if LIBRARY.match(s)]
    for program in ("emu", "test_tcg"):
        if shared and (build / program).is_file():
            problems += vector_problems(str(build / program), shared)
    sources.finish(problems, "scalar")


main()
