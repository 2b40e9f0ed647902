"""Samples become medians, ratios of pairs, and a judgement; these become lines of text."""

from statistics import median

from rows import AT_MOST

# Of each figure: its unit, and the digits behind the point.
UNITS = {"cpu_us": ("CPU us", 1), "rate": ("per second", 0), "cpu_s_per_gb": ("CPU s/GB", 3), "gb_per_s": ("GB/s", 2),
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
    return {"of": name, "to": other, "figure": figure, "ratio": median(of_pairs), "least": min(of_pairs), "most": max(of_pairs),
            **judgement(median(of_pairs), *row.limits.get((figure, other), (None, None)))}


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
               f" ({one['least']:.2f} to {one['most']:.2f}){promise(one)}")
