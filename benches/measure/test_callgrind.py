"""Tests of the reader of callgrind's files."""

import unittest

from measure.callgrind import by_function, calls_of

FILE = """\
version: 1
positions: line
events: Ir

fl=(1) a.rs
fn=(1) paths::counted::h0123456789abcdef
12 5
+3 7
cfn=(2) some::called'2
calls=3 20
* 4000
16 1

fn=(2)
20 30
fi=(2) b.rs
-4 10
fn=(3) other
9 2
cfn=(1)
calls=1 12
9 13

totals: 55
"""


class CallgrindTest(unittest.TestCase):
    def test_costs_are_a_functions_own(self):
        self.assertEqual(by_function(FILE), {"paths::counted": 13, "some::called": 40, "other": 2})

    def test_calls_are_counted_by_the_called_function_s_name(self):
        self.assertEqual(calls_of(FILE, r"some::called'2"), 3)
        self.assertEqual(calls_of(FILE, r"some"), 0)
        self.assertEqual(calls_of(FILE, r"paths::counted.*"), 1)


if __name__ == "__main__":
    unittest.main()
