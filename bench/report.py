"""Samples become medians, ratios of pairs, and a judgement; these become lines of text."""

from math import comb
from statistics import median

from contenders import OLD
from rows import AT_MOST

# Of each figure: its unit, and the digits behind the point.
UNITS = {"cpu_us": ("CPU us", 1), "postgres_us": ("CPU us of PostgreSQL", 1), "rate": ("per second", 0), "cpu_s_per_gb": ("CPU s/GB", 3), "gb_per_s": ("GB/s", 2),
         "calls": ("calls", 2), "kib_per_client": ("KiB per client", 2), "cpu_us_per_login": ("CPU us per login", 1),
         "p50_ms": ("ms at p50", 3), "p99_ms": ("ms at p99", 3), "p99_p50": ("p99/p50", 3), "unlucky": ("of the median client's", 2),
         "lost": ("lost", 0), "refused": ("refused", 0), "back_s": ("s until it is back", 2)}


def medians(taken):
    """Of one contender's samples; a figure may be a dictionary of figures itself."""
    found = {}
    for figure, first in taken[0].items():
        values = [sample[figure] for sample in taken]
        if isinstance(first, dict):
            names = dict.fromkeys(name for value in values for name in value)
            found[figure] = {name: median(value.get(name, 0) for value in values) for name in names}
        else:
            found[figure] = median(values)
    return found


def summary(row, samples):
    """All that is known of a row, as plain values: for the screen, the results' file and the plots."""
    by_pairs = {name: [{key: value for key, value in sample.items() if key in UNITS} for sample in taken] for name, taken in samples.items()}
    found = {"row": row.name, "group": row.group, "pairs": len(next(iter(samples.values()))),
             "samples": by_pairs, "medians": {name: medians(taken) for name, taken in samples.items()}, "ratios": [], "absolute": []}
    for name in (name for name in samples if name.startswith("tidepoold")):
        for (figure, other), (way, limit) in row.limits.items():
            if other is None:
                value = found["medians"][name][figure]
                found["absolute"].append({"of": name, "figure": figure, "value": value, **judgement(value, way, limit)})
        for other in (other for other in samples if not other.startswith("tidepoold") or other < name):
            for figure in UNITS:
                of_pairs = [mine[figure] / theirs[figure] for mine, theirs in zip(samples[name], samples[other])
                            if figure in mine and theirs.get(figure)]
                if of_pairs:
                    found["ratios"].append(ratio(row, name, other, figure, of_pairs))
    return found


def ratio(row, name, other, figure, of_pairs):
    """A new build is only judged by what is certain: the lower end of the interval, against an old one."""
    low, high = interval(of_pairs)
    return {"of": name, "to": other, "figure": figure, "ratio": median(of_pairs), "least": min(of_pairs), "most": max(of_pairs), "low": low, "high": high,
            **judgement(low if other == OLD else median(of_pairs), *row.limits.get((figure, other), (None, None)))}


def interval(values):
    """Where the median of all such values lies, with 95 % at least, whatever their distribution: by the order of these. Fewer than six say nothing: 0 and
    infinity."""
    count = len(values)
    rank = 0
    while sum(comb(count, below) for below in range(rank + 1)) * 2 <= 0.05 * 2 ** count:
        rank += 1
    in_order = sorted(values)
    return (in_order[rank - 1], in_order[-rank]) if rank else (0.0, float("inf"))


def judgement(value, way, limit):
    return {"way": way, "limit": limit, "met": None if way is None else value <= limit if way == AT_MOST else value >= limit}


def promise(judged):
    return "" if judged["way"] is None else f"  {judged['way']} {judged['limit']}: {'met' if judged['met'] else 'MISSED'}"


def lines(found):
    """For the screen."""
    yield f"{found['row']}  ({found['pairs']} pairs)"
    for name, figures in found["medians"].items():
        values = "".join(f"{figures[key]:14.{digits}f} {unit}" for key, (unit, digits) in UNITS.items() if key in figures)
        by_name = "  ".join(f"{call} {count:.2f}" for call, count in sorted(figures.get("by_name", {}).items()))
        yield f"  {name:<14}{values}  {by_name}".rstrip()
    for one in found["absolute"]:
        yield f"  {one['of']}: {one['value']:.2f} {UNITS[one['figure']][0]}{promise(one)}"
    for one in found["ratios"]:
        yield (f"  {one['of']} / {one['to']}, {UNITS[one['figure']][0]}: {one['ratio']:.2f}"
               f" ({one['least']:.2f} to {one['most']:.2f}{with_95_percent(one)}){promise(one)}")


def with_95_percent(one):
    return f"; with 95 % {one['low']:.3f} to {one['high']:.3f}" if one["low"] else ""
