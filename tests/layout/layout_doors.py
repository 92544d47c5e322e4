#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Walks the #includes of src/ against doors.txt: small rooms, one-way doors.
import re
import sources

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def read_doors():
    rooms, libraries = {}, {}
    for line in (sources.ROOT / "tests/layout/doors.txt").read_text().splitlines():
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, allowed = line.split(":", 1)
        if name.startswith("<"):
            libraries[name[1:]] = set(allowed.split())
        else:
            rooms[name] = allowed.split()
    return rooms, libraries


def is_allowed(target, entries):
    return any(target == e or target.startswith(e + "/") for e in entries)


def cycle_problems(rooms):
    """The table itself must have a direction."""
    depth = {}

    def visit(room, path):
        if room in path:
            return [f"doors.txt: circle {' -> '.join(path + [room])}"]
        if room in depth or room not in rooms:
            return []
        depth[room] = len(path)
        return [p for e in rooms[room] for p in visit(e.split('/')[0], path + [room])]

    return [p for room in rooms for p in visit(room, [])]


def include_problem(path, room, bracket, target, doors):
    rooms, libraries = doors
    if bracket == "<":
        for prefix, users in libraries.items():
            if target.startswith(prefix) and room not in users:
                return f"{path}: <{target}> belongs behind the doors of {', '.join(sorted(users))}"
        return None
    if target.endswith(".hex"):  # bytes that the build makes out of firmware/
        return None
    if target.split("/")[0] not in rooms:
        return f'{path}: "{target}" is no path below src/'
    if target.split("/")[0] != room and not is_allowed(target, rooms[room]):
        return f'{path}: {room} has no door to "{target}"'
    if not (sources.ROOT / "src" / target).is_file():
        return f'{path}: "{target}" does not exist'
    return None


def main():
    doors = read_doors()
    problems = cycle_problems(doors[0])
    for path in sources.files(("src",)):
        room = path.parts[1]
        if room not in doors[0]:
            problems.append(f"{path}: room {room} is not in doors.txt")
            continue
        for bracket, target in INCLUDE.findall(sources.text(path)):
            problem = include_problem(path, room, bracket, target, doors)
            if problem:
                problems.append(problem)
    sources.finish(problems, "layout_doors")


main()
