"""Whether figures grow over time: the slope of Theil and Sen, which a few odd samples do not move, and its confidence interval."""

import statistics
from dataclasses import dataclass
from math import sqrt

# Of 95 % of the normal distribution.
Z = 1.96
# Samples are joined to so many, by their medians: what goes up and down within one is no trend.
BLOCKS = 24
# The most that neighbours may count as alike: what grows steadily is alike, too.
MOST_ALIKE = 0.6


@dataclass
class Trend:
    level: float  # the median of the figures
    slope: float  # their growth per unit of time
    low: float  # 95 % of its confidence interval
    high: float


def of(times, values):
    """The trend of figures, at least as many as there are blocks."""
    times, values = blocks(times), blocks(values)
    count = len(values)
    slopes = sorted((values[j] - values[i]) / (times[j] - times[i]) for i in range(count) for j in range(i + 1, count) if times[j] > times[i])
    slope = statistics.median(slopes)
    # Kendall's variance without trend. Samples that follow one another closely say less than independent ones: as many times
    # less as their correlation says (the factor of an autoregression of the first order).
    rest = [value - slope * at for at, value in zip(times, values, strict=True)]
    alike = min(max(correlation(rest[:-1], rest[1:]), 0.0), MOST_ALIKE)
    spread = sqrt(count * (count - 1) * (2 * count + 5) / 18 * (1 + alike) / (1 - alike))
    low = int((len(slopes) - Z * spread) / 2)
    high = int((len(slopes) + Z * spread) / 2) + 1
    return Trend(
        level=statistics.median(values),
        slope=slope,
        low=slopes[max(low, 0)],
        high=slopes[min(high, len(slopes) - 1)],
    )


def blocks(values):
    edges = [round(n * len(values) / BLOCKS) for n in range(BLOCKS + 1)]
    return [statistics.median(values[begin:end]) for begin, end in zip(edges, edges[1:], strict=False)]


def correlation(left, right):
    if len(set(left)) < 2 or len(set(right)) < 2:
        return 0.0
    return statistics.correlation(left, right)
