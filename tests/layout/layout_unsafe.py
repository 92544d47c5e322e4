#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Mappings, executable memory, ioctls and signal handlers live in *_unsafe.cpp, each use under a
# "// SAFETY:" line that says why it is sound.
import re
import sources

CALL = re.compile(
    r"(?<![\w.>])(?:::\s*)?(mmap|munmap|mprotect|mremap|madvise|pkey_mprotect|ioctl|sigaction|"
    r"signal|sigaltstack|userfaultfd|rt_sigreturn)\s*\(")
WORD = re.compile(r"\b(PROT_EXEC|JitRuntime|VirtMem|JitAllocator|ucontext_t|siginfo_t)\b")
REACH_LINES = 30  # a SAFETY line speaks for what follows it, within one screen


def uses(source):
    """(line number from 1, what) of everything fenced."""
    for number, line in enumerate(sources.code(source).splitlines(), 1):
        for match in list(CALL.finditer(line)) + list(WORD.finditer(line)):
            yield number, match.group(1)


def has_reason(lines, number):
    return any("SAFETY" in line for line in lines[max(0, number - REACH_LINES):number])


def main():
    problems = []
    for path in sources.files(("src",)):
        source = sources.text(path)
        lines = source.splitlines()
        is_fenced = path.name.endswith("_unsafe.cpp") or path.name.endswith("_unsafe.h")
        if is_fenced and "// SAFETY" not in source:
            problems.append(f"{path}: no // SAFETY: line")
        for number, what in uses(source):
            if not is_fenced:
                problems.append(f"{path}:{number}: {what} belongs in a file ending _unsafe.cpp")
            elif not has_reason(lines, number):
                problems.append(f"{path}:{number}: {what} without a // SAFETY: line above it")
    sources.finish(problems, "layout_unsafe")


main()
