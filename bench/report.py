"""Samples become medians, ratios of pairs, and a judgement; these become lines of text."""

from statistics import median

from rows import AT_MOST

UNITS = {"cpu_us": ("CPU us", 1), "rate": ("per second", 0), "cpu_s_per_gb": ("CPU s/GB", 3), "gb_per_s": ("GB/s", 2)}


def ratios(samples, name, other, figure):
    """Of each pair, one by the other."""
    return [mine[figure] / theirs[figure] for mine, theirs in zip(samples[name], samples[other]) if theirs[figure]]


def summary(row, samples):
    """All that is known of a row, as plain values: for the screen, the results' file and the plots."""
    medians = {name: {figure: median(sample[figure] for sample in taken) for figure in taken[0]} for name, taken in samples.items()}
    found = {"row": row.name, "group": row.group, "pairs": len(next(iter(samples.values()))), "medians": medians, "ratios": []}
    for name in (name for name in samples if name.startswith("tidepoold")):
        for other in (other for other in samples if other != name and not (other.startswith("tidepoold") and other > name)):
            for figure in medians[name]:
                if figure in medians[other] and (ratio := ratios(samples, name, other, figure)):
                    found["ratios"].append(judged(row, name, other, figure, ratio))
    return found


def judged(row, name, other, figure, ratio):
    way, factor = row.limits.get((figure, other), (None, None))
    middle = median(ratio)
    return {"of": name, "to": other, "figure": figure, "ratio": middle, "least": min(ratio), "most": max(ratio), "way": way,
            "limit": factor, "met": None if way is None else middle <= factor if way == AT_MOST else middle >= factor}


def lines(found):
    """For the screen."""
    yield f"{found['row']}  ({found['pairs']} pairs)"
    for name, figures in found["medians"].items():
        values = "".join(f"{figures[key]:14.{digits}f} {unit}" for key, (unit, digits) in UNITS.items() if key in figures)
        yield f"  {name:<14}{values}"
    for ratio in found["ratios"]:
        promise = "" if ratio["way"] is None else \
            f"  {ratio['way']} {ratio['limit']}: {'met' if ratio['met'] else 'MISSED'}"
        yield (f"  {ratio['of']} / {ratio['to']}, {UNITS[ratio['figure']][0]}: {ratio['ratio']:.2f}"
               f" ({ratio['least']:.2f} to {ratio['most']:.2f}){promise}")
