#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# clang-tidy over src/ with .clang-tidy's checks. A file that passed is not looked at again until
# it, a header of ours or the checks change: its stamp is in BUILD_DIRECTORY/lint.
# Usage: lint.py BUILD_DIRECTORY [FILE...]. Exit status 77: clang-tidy 14 is missing.
import concurrent.futures
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import sources


def digest(*contents):
    whole = hashlib.sha256()
    for content in contents:
        whole.update(content)
    return whole.hexdigest()


def clang_commands(build):
    """Writes the compile commands as Clang takes them; the files they compile."""
    entries = json.loads((build / "compile_commands.json").read_text())
    for entry in entries:
        words = entry["command"].split()
        entry["command"] = " ".join(w for w in words if w not in ("-mgeneral-regs-only", "-Werror"))
    (build / "lint").mkdir(exist_ok=True)
    (build / "lint/compile_commands.json").write_text(json.dumps(entries))
    return {entry["file"] for entry in entries}


def lint(tool, build, path, stamp):
    """The complaints about one file, "" if there are none."""
    result = subprocess.run([tool, "--quiet", "-p", str(build / "lint"), str(path)],
                            capture_output=True, text=True)
    if result.returncode == 0:
        stamp.touch()
        return ""
    return result.stdout + result.stderr


def main():
    tool = shutil.which("clang-tidy-14") or shutil.which("clang-tidy")
    build = pathlib.Path(sys.argv[1]).resolve()
    if tool is None:
        print("lint: skipped, clang-tidy is not installed")
        sys.exit(77)
    compiled = clang_commands(build)
    paths = [sources.ROOT / p for p in sources.files(("src",), (".cpp",))]
    paths = [p for p in paths if str(p) in compiled]
    if len(sys.argv) > 2:
        wanted = {pathlib.Path(p).resolve() for p in sys.argv[2:]}
        paths = [p for p in paths if p in wanted]
    headers = digest((sources.ROOT / ".clang-tidy").read_bytes(),
                     *((sources.ROOT / p).read_bytes() for p in sources.files(("src",), (".h",))))
    work = []
    for path in paths:
        stamp = build / "lint" / digest(headers.encode(), str(path).encode(), path.read_bytes())
        if not stamp.exists():
            work.append((path, stamp))
    problems = []
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for complaint in pool.map(lambda w: lint(tool, build, *w), work):
            if complaint:
                print(complaint.strip(), flush=True)
                problems.append(complaint.splitlines()[0])
    sources.finish(problems, f"lint: {len(work)} of {len(paths)} files looked at")


main()
