"""Tests of how the figures of rounds become those of a table."""

import unittest

from measure.tables import Table, ratio, with_ratios


class Ratios(unittest.TestCase):
    def rows(self, *values):
        return [{"added": value} for value in values]

    def test_a_ratio_is_taken_round_by_round(self):
        # the ratio of the medians would be 4
        self.assertEqual(ratio(self.rows(20, 40, 90), self.rows(10, 5, 30), "added"), 3)

    def test_a_round_whose_base_is_not_positive_has_no_ratio(self):
        self.assertEqual(ratio(self.rows(20, 40, 90), self.rows(10, -1, 0), "added"), 2)
        self.assertIsNone(ratio(self.rows(20), self.rows(-1), "added"))

    def test_a_table_without_nginx_has_no_ratios(self):
        def made(figures):
            return with_ratios(Table("t", "", "", {"added": ("", 0), "ratio": ("", 0)}), figures, ratios=(("ratio", "added"),)).rows

        self.assertEqual(made({"a": self.rows(4), "nginx": self.rows(2)}), {"a": {"added": 4, "ratio": 2}, "nginx": {"added": 2, "ratio": 1}})
        self.assertEqual(made({"a": self.rows(4)}), {"a": {"added": 4}})


if __name__ == "__main__":
    unittest.main()
