"""Readable twins: what the fast code must do, in a few obvious lines and plain loops."""

import csv
import io
import math
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple


def bucket_of(time, width):
    """The k with k*width <= time < (k+1)*width in float64, found by stepping."""
    number = math.floor(time / width)
    while number * width > time:
        number -= 1
    while (number + 1) * width <= time:
        number += 1
    return number


def buckets(times, width):
    """Lists of the indices of each bucket that has samples."""
    found = {}
    for index, time in enumerate(times):
        found.setdefault(bucket_of(time, width), []).append(index)
    return list(found.values())


def thin(times, min_stride):
    """Greedily from the first, each at least a stride after the one before."""
    kept = []
    for index, time in enumerate(times):
        if not kept or time - times[kept[-1]] >= min_stride:
            kept.append(index)
    return kept


def candidates(values, bucket):
    """The samples of a bucket that may stand for it: finite ones, else infinities, else the first NaN."""
    finite = [index for index in bucket if math.isfinite(values[index])]
    infinite = [index for index in bucket if math.isinf(values[index])]
    return finite or infinite or bucket[:1]


def first(values, bucket):
    """The first that may stand."""
    return candidates(values, bucket)[:1]


def last(values, bucket):
    """The last that may stand."""
    return candidates(values, bucket)[-1:]


def minmax(values, bucket):
    """The earliest of the lowest, and the earliest of the highest."""
    able = candidates(values, bucket)
    lowest = highest = able[0]
    for index in able:
        if values[index] < values[lowest]:
            lowest = index
        if values[index] > values[highest]:
            highest = index
    return [lowest, highest]


def m4(values, bucket):
    """The first, the lowest, the highest and the last."""
    return [*first(values, bucket), *minmax(values, bucket), *last(values, bucket)]


def first_change_last(values, bucket):
    """The first state, the first that differs from it, the last."""
    kept = [bucket[0], bucket[-1]]
    for index in bucket:
        if values[index] != values[bucket[0]]:
            kept.append(index)
            break
    return kept


def mean(values, bucket):
    """The exact mean of the finite values; of infinities alone their sum; NaN of NaN alone."""
    able = [values[index] for index in candidates(values, bucket)]
    if all(math.isfinite(value) for value in able):
        return float(sum(map(Fraction, able)) / len(able))
    return sum(able)


def finite(values, bucket):
    """The exact finite values."""
    return [Fraction(values[index]) for index in bucket if math.isfinite(values[index])]


def count(values, bucket):
    """How many values are finite."""
    return len(finite(values, bucket))


def total(values, bucket):
    """The exact sum of the finite values, infinite if no float is so large; without any, as the mean."""
    able = finite(values, bucket)
    if not able:
        return mean(values, bucket)
    try:
        return float(sum(able))
    except OverflowError:
        return math.inf if sum(able) > 0 else -math.inf


def stddev(values, bucket):
    """The root of the mean square of what the finite values lie off their mean; NaN without any."""
    able = finite(values, bucket)
    if not able:
        return math.nan
    middle = sum(able) / len(able)
    return root(sum((value - middle) ** 2 for value in able) / len(able))


def root(number):
    """The square root of a fraction, by way of decimals of 60 digits."""
    with localcontext(prec=60):
        return float((Decimal(number.numerator) / Decimal(number.denominator)).sqrt())


def lowest(values, bucket):
    """The lowest value."""
    return values[minmax(values, bucket)[0]]


def highest(values, bucket):
    """The highest value."""
    return values[minmax(values, bucket)[1]]


class Twin(NamedTuple):
    """What a reducer keeps of each bucket: of numbers what is chosen, or their aggregate; of states what is chosen.

    The buckets are so many strides wide. What is added up is exact but for rounding, which depends on the order.
    """

    strides: int = 1
    choose: Callable | None = None
    aggregate: Callable | None = None
    added_up: bool = False
    states: tuple[int, Callable] = (3, first_change_last)


REDUCERS = {
    "first": Twin(1, first, states=(1, lambda _, bucket: bucket[:1])),
    "last": Twin(1, last, states=(1, lambda _, bucket: bucket[-1:])),
    "minmax": Twin(2, minmax),
    "m4": Twin(4, m4),
    "mean": Twin(aggregate=mean, added_up=True),
    "min": Twin(aggregate=lowest),
    "max": Twin(aggregate=highest),
    "count": Twin(aggregate=count),
    "sum": Twin(aggregate=total, added_up=True),
    "stddev": Twin(aggregate=stddev, added_up=True),
}
OF_NUMBERS = {name: (one.strides, one.choose) for name, one in REDUCERS.items() if one.choose}
OF_STATES = {name: one.states for name, one in REDUCERS.items()}
AGGREGATES = {name: one.aggregate for name, one in REDUCERS.items() if one.aggregate}
ADDED_UP = {name for name, one in REDUCERS.items() if one.added_up}


def chosen(times, values, table, reducer, stride):
    """Indices kept of each bucket of a field."""
    strides, choose = table[reducer]
    return sorted({index for bucket in buckets(times, strides * stride) for index in choose(values, bucket)})


def aggregated(times, values, reducer, stride):
    """A value for each bucket of numbers, at the time of the bucket's middle sample."""
    found = buckets(times, stride)
    return [times[(one[0] + one[-1] + 1) // 2] for one in found], [AGGREGATES[reducer](values, one) for one in found]


def same(one, other):
    """Equal, or both NaN."""
    return one == other or str(one) == str(other) == "nan"


def reduce(times, values, table, reducer, stride):
    """Indices kept of a field: those of each bucket and the newest, unless it repeats the last of them."""
    kept = chosen(times, values, table, reducer, stride)
    newest = len(times) - 1
    if kept and not (times[kept[-1]] == times[newest] and same(values[kept[-1]], values[newest])):
        kept.append(newest)
    return kept


def most_points(start, end, stride, samples_per_bucket, strides_per_bucket):
    """Samples that a span as long as this may have after reduction, the newest included, at the worst phase."""
    length = Fraction(end) - Fraction(start)
    return (math.ceil(length / Fraction(stride * strides_per_bucket)) + 1) * samples_per_bucket + 1


def containing(names, text):
    """The names that contain a text, whatever its case."""
    return [name for name in names if text.casefold() in name.casefold()]


def whole_matches(pattern, names):
    """The names that a pattern matches as a whole, tried one after another."""
    return [name for name in names if pattern.fullmatch(name)]


def rows(series):
    """Time in milliseconds, name and value of each sample, by time; what is no number is None.

    Samples of one series are a microsecond apart at least.
    """
    found = []
    for one in series:
        newest_us = -math.inf
        for time, value in zip(one.times.tolist(), one.values.tolist(), strict=True):
            newest_us = max(round(time * 1e3 * 1e3), newest_us + 1)
            found.append((newest_us / 1e3, one.wanted.target, value))
    known = [(time, name, None if isinstance(v, float) and not math.isfinite(v) else v) for time, name, v in found]
    return sorted(known, key=lambda row: row[0])


def read_csv_row_by_row(text, separator, types):
    """Return the samples of each column of a table whose first column is in ISO 8601, in order of time."""
    header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    samples = {name: [] for name in header[1:]}
    for row in sorted(rows, key=lambda row: datetime.fromisoformat(row[0])):
        for name, cell in zip(header[1:], row[1:], strict=True):
            time = datetime.fromisoformat(row[0]).timestamp()
            if types[name] == "number":
                samples[name].append((time, float(cell or "nan")))
            elif cell:
                samples[name].append((time, cell if types[name] == "string" else cell.lower() == "true"))
    return samples


def cell_edges(start, end, width):
    """The starts of the buckets that [start, end) touches, and the end of the last one."""
    first, last = bucket_of(start, width), bucket_of(end, width)
    if last * width == end:
        last -= 1
    return [number * width for number in range(first, last + 2)]


def on_cells(times, values, edges, start, end, reducer):
    """Time and value of each cell: what a reducer makes of the samples in it that lie inside the window, else None."""
    found = []
    for low, high in pairwise(edges):
        inside = [index for index, time in enumerate(times) if max(low, start) <= time < min(high, end)]
        found.append((max(low, start), of_cell(values, inside, reducer) if inside else None))
    return found


def of_cell(values, inside, reducer):
    """What a reducer makes of some samples."""
    twin = REDUCERS[reducer]
    return twin.aggregate(values, inside) if twin.aggregate else values[twin.choose(values, inside)[0]]


def local_days(start, end, zone, part_s):
    """When the local date first becomes another one, looked at each ``part_s`` seconds; and the first day's start."""

    def day_at(instant):
        return datetime.fromtimestamp(instant, zone).date()

    instant = math.floor(start / 86400) * 86400 - 3 * 86400
    begun, latest = [], day_at(instant)
    while not begun or begun[-1] < end:
        instant += part_s
        if day_at(instant) > latest:
            latest = day_at(instant)
            begun.append(instant)
    first = max(number for number, time in enumerate(begun) if time <= start)
    return begun[first:]
