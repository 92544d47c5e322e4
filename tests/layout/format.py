#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Every C++ file is as clang-format 14 writes it. Exit status 77: clang-format 14 is missing.
import re
import shutil
import subprocess
import sys
import sources


def find_tool():
    for name in ("clang-format-14", "clang-format"):
        path = shutil.which(name)
        if path and re.search(r"version 14\.", subprocess.check_output([path, "--version"], text=True)):
            return path
    return None


def main():
    tool = find_tool()
    if tool is None:
        print("format: skipped, clang-format 14 is not installed")
        sys.exit(77)
    paths = [str(sources.ROOT / p) for p in sources.files(("src", "tests", "bench"))]
    result = subprocess.run([tool, "--dry-run", "-Werror", *paths], capture_output=True, text=True)
    bad = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", result.stderr, re.MULTILINE)))
    sources.finish([f"{b}: run {tool.split('/')[-1]} -i on it" for b in bad], "format")


main()
