"""What callgrind's file says: the instructions of each function, and how often some are called."""

import re
from collections import Counter


def by_function(text):
    """The own cost of each function, without those that it calls. Recursion levels and Rust's hashes are no part of a name."""
    names, costs, current, is_call = {}, Counter(), None, False
    for line in text.splitlines():
        if named := re.match(r"c?fn=\((\d+)\)(?: (.*))?$", line):
            number, name = named.groups()
            if name:
                names[number] = re.sub(r"(::h[0-9a-f]{16}|'\d+)+$", "", name)
            if line.startswith("fn="):
                current = names[number]
        elif line.startswith("calls="):
            # the next line has what the call costs, which counts at the called function
            is_call = True
        elif cost := re.match(r"[+\-*\d]\S* (\d+)$", line):
            if not is_call:
                costs[current] += int(cost[1])
            is_call = False
    return costs


def calls_of(text, pattern):
    """How often functions whose whole name fits are called."""
    numbers, total, counts = set(), 0, False
    for line in text.splitlines():
        if named := re.match(r"c?fn=\((\d+)\)(?: (.*))?$", line):
            number, name = named.groups()
            if name and re.fullmatch(pattern, name):
                numbers.add(number)
            counts = line.startswith("cfn=") and number in numbers
        elif counts and (calls := re.match(r"calls=(\d+)", line)):
            total += int(calls[1])
    return total
