"""What model_check accepts and what it refuses, by models made for it."""

import os
import tempfile
import unittest

from tests.model import model_check

# Two processes that take turns in a lock, or do not.
LOCK = """
// everyday: -DROUNDS=2
// MUTANT_NO_LOCK        together
// MUTANT_NEVER_OPENED   deadlock
bool taken, inside, together;
active [2] proctype user() {
  byte i;
  do
  :: i < ROUNDS ->
#ifndef MUTANT_NO_LOCK
     atomic { !taken -> taken = true };
#endif
     together = inside;
     assert(!together);
     inside = true;
     inside = false;
#ifndef MUTANT_NEVER_OPENED
     taken = false;
#endif
     i++
  :: else -> break
  od
}
"""


class ModelCheckTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def model(self, text):
        path = os.path.join(self.folder, "made.pml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        return model_check.Model(path)

    def test_a_sound_model_holds_and_its_mutants_are_caught(self):
        model = self.model(LOCK)
        self.assertEqual(model_check.check_model(model, "everyday"), [])
        self.assertEqual(model_check.check_mutants(model), [])

    def test_a_fault_is_told_with_the_steps_that_lead_to_it(self):
        wrong = model_check.check_model(self.model("#define MUTANT_NO_LOCK\n" + LOCK), "everyday")
        self.assertEqual(len(wrong), 1)
        self.assertRegex(wrong[0], "(?s)together.*proc +1")

    def test_a_deadlock_is_a_fault(self):
        wrong = model_check.check_model(self.model("#define MUTANT_NEVER_OPENED\n" + LOCK), "everyday")
        self.assertEqual(len(wrong), 1)
        self.assertIn("invalid end state", wrong[0])

    def test_a_mutant_that_does_no_harm_is_told(self):
        model = self.model(LOCK.replace("#ifndef MUTANT_NO_LOCK", "#if defined(MUTANT_NO_LOCK) || 1"))
        self.assertEqual(model_check.check_mutants(model), ["MUTANT_NO_LOCK is not caught"])

    def test_a_mutant_that_does_another_harm_is_told(self):
        model = self.model(LOCK.replace("OPENED   deadlock", "OPENED   together"))
        wrong = model_check.check_mutants(model)
        self.assertEqual(len(wrong), 1)
        self.assertIn("invalid end state", wrong[0])

    def test_a_mutant_is_described_and_a_description_has_a_mutant(self):
        with self.assertRaisesRegex(model_check.ModelError, "MUTANT_NO_LOCK"):
            model_check.check_mutants(self.model(LOCK.replace("// MUTANT_NO_LOCK ", "// ")))
        with self.assertRaisesRegex(model_check.ModelError, "MUTANT_SLOW"):
            model_check.check_mutants(self.model(LOCK + "// MUTANT_SLOW  together\n"))

    def test_a_model_without_mutants_or_bounds_shows_nothing(self):
        model = self.model("active proctype idle() { skip }")
        self.assertNotEqual(model_check.check_mutants(model), [])
        self.assertNotEqual(model_check.check_model(model, "everyday"), [])

    def test_a_statement_that_is_never_reached_is_told_unless_its_line_says_why(self):
        text = LOCK.replace("     inside = false;\n", "     inside = false;\n     if :: i > 5 -> taken = true :: else fi;\n")
        wrong = model_check.check_model(self.model(text), "everyday")
        self.assertEqual(len(wrong), 1)
        self.assertRegex(wrong[0], "never reached.*taken = 1")
        excused = text.replace(":: else fi;", ":: else fi;  // may be unreached: for this test")
        self.assertEqual(model_check.check_model(self.model(excused), "everyday"), [])

    def test_other_bounds_may_reach_what_some_do_not(self):
        text = LOCK.replace("     inside = false;\n", "     inside = false;\n     if :: i > 2 -> inside = false :: else fi;\n")
        self.assertNotEqual(model_check.check_model(self.model(text), "everyday"), [])
        self.assertEqual(
            model_check.check_model(self.model(text.replace("=2\n", "=2\n// everyday: -DROUNDS=4\n")), "everyday"), [])

    def test_a_search_that_is_cut_short_is_an_error(self):
        endless = "// everyday: -DX\nint i; active proctype counter() { do :: i = i + 1 od }"
        with self.assertRaisesRegex(model_check.ModelError, "cut short|broke off"):
            model_check.Model.check(self.model(endless), [], max_depth=1000)

    def test_a_model_that_does_not_compile_is_an_error(self):
        with self.assertRaisesRegex(model_check.ModelError, "spin refuses"):
            self.model("active proctype broken() { nonsense }").check([])


if __name__ == "__main__":
    unittest.main()
