"""Tests of the verdict of a soak: what grows is found, what only moves is not."""

import random
import unittest

from measure import trend

TIMES = [n / 60 for n in range(100)]


class TrendTest(unittest.TestCase):
    def noise(self, seed, correlated):
        chance, value, values = random.Random(seed), 0.0, []
        for _ in TIMES:
            value = correlated * value + chance.gauss(0, 1)
            values.append(100 + value)
        return values

    def test_a_steady_growth_is_found_below_noise(self):
        for seed in range(20):
            values = [value + 6 * at for value, at in zip(self.noise(seed, 0.5), TIMES, strict=True)]
            found = trend.of(TIMES, values)
            self.assertGreater(found.low, 0)
            self.assertAlmostEqual(found.slope, 6, delta=3)

    def test_noise_is_no_growth_also_where_neighbours_are_alike(self):
        grown = sum(trend.of(TIMES, self.noise(seed, 0.8)).low > 0 for seed in range(200))
        self.assertLess(grown, 200 * 0.1)

    def test_growth_that_becomes_slower_is_found(self):
        for seed in range(20):
            values = [value + 30 * at**0.5 for value, at in zip(self.noise(seed, 0.5), TIMES, strict=True)]
            self.assertGreater(trend.of(TIMES, values).low, 0)

    def test_a_few_odd_samples_do_not_matter(self):
        values = [100.0] * len(TIMES)
        values[-3:] = [500.0] * 3
        self.assertEqual(trend.of(TIMES, values).slope, 0)

    def test_what_stays_has_no_trend(self):
        found = trend.of(TIMES, [7] * len(TIMES))
        self.assertEqual((found.level, found.slope, found.low, found.high), (7, 0, 0, 0))


if __name__ == "__main__":
    unittest.main()
