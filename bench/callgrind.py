"""What callgrind has written, by function; and what has grown from one build to another."""

import re
from collections import Counter


def functions(file):
    """Own costs by function, of a file of callgrind's (https://valgrind.org/docs/manual/cl-format.html)."""
    names, found, current, is_call = {}, Counter(), "", False
    for line in file.read_text(errors="replace").splitlines():
        if line.startswith("fn="):
            number, _, name = line[3:].partition(" ")
            if name:
                names[number] = name
            current = names[number]
        elif line.startswith(("cfn=", "cfi=", "cob=")):
            number, _, name = line[4:].partition(" ")
            if name and line.startswith("cfn="):
                names[number] = name
        elif line.startswith("calls="):
            is_call = True
        elif line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            costs = line.split()[1:]        # none: nothing
            if costs and not is_call:       # the line behind `calls=` is what the called function took
                found[current] += int(costs[0])
            is_call = False
    return found


def grown(new, old, transactions, most=12):
    """The functions that cost most more than before, instructions per transaction."""
    more = Counter({name: (new[name] - old[name]) / transactions for name in new | old})
    for name, count in more.most_common(most):
        if count > 1:
            yield f"      {count:+8.0f}  {shortened(name)}"


def shortened(name):
    return re.sub(r"std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >", "std::string", name)[:150]
