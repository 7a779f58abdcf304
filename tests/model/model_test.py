"""Checks one model: `model_test.py MODEL everyday|soak`."""

import os
import sys
import unittest

from tests.model import model_check

NAME, KIND = sys.argv[1:3]
MODEL = model_check.Model(os.path.join(os.path.dirname(__file__), NAME + ".pml"))


class ModelTest(unittest.TestCase):
    def test_it_holds_within_its_bounds_and_reaches_all_of_itself(self):
        self.assertEqual(model_check.check_model(MODEL, KIND), [])

    @unittest.skipIf(KIND == "soak", "everyday bounds show it")
    def test_every_mutant_of_it_is_caught(self):
        self.assertEqual(model_check.check_mutants(MODEL), [])


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
