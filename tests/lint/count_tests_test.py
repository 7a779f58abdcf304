"""Checks the count that tests/run.sh prints: a wrong one would let a failure through."""

import pathlib
import tempfile
import unittest

from tests.lint import count_tests

THREE_CASES_ONE_BAD = """<testsuites><testsuite name="S">
  <testcase name="Good" status="run" classname="S"/>
  <testcase name="Bad" status="run" classname="S"><failure message="no"/></testcase>
  <testcase name="Skipped" status="run" result="skipped" classname="S"><skipped message=""/></testcase>
</testsuite></testsuites>"""
TWO_GOOD = '<testsuites><testsuite><testcase name="A"/><testcase name="B"/></testsuite></testsuites>'


class CountTestsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def result(self, status, xml):
        path = self.folder / "test xml"
        path.write_text(xml, encoding="utf-8")
        return {
            "id": {"testResult": {"label": "//a:t"}},
            "testResult": {"status": status, "testActionOutput": [{"name": "test.xml", "uri": path.as_uri()}]},
        }

    def test_cases_are_counted_not_targets(self):
        self.assertEqual(count_tests.count([self.result("PASSED", TWO_GOOD)]), (2, 0, []))

    def test_a_failed_case_is_named(self):
        self.assertEqual(count_tests.count([self.result("FAILED", THREE_CASES_ONE_BAD)]), (1, 1, ["//a:t S.Bad"]))

    def test_a_test_that_dies_after_its_cases_passed_has_failed(self):
        self.assertEqual(count_tests.count([self.result("FAILED", TWO_GOOD)]), (2, 0, ["//a:t (FAILED)"]))

    def test_a_crash_that_cut_the_report_short_is_a_failure(self):
        self.assertEqual(count_tests.count([self.result("TIMEOUT", "<testsuites><test")]), (0, 0, ["//a:t (TIMEOUT)"]))

    def test_a_target_that_does_not_build_is_a_failure(self):
        event = {"id": {"targetCompleted": {"label": "//a:lib"}}, "completed": {}}
        self.assertEqual(count_tests.count([event]), (0, 0, ["//a:lib (does not build)"]))

    def test_a_pass_with_no_report_counts_once(self):
        event = {"id": {"testResult": {"label": "//a:t"}}, "testResult": {"status": "PASSED"}}
        self.assertEqual(count_tests.count([event]), (1, 0, []))


if __name__ == "__main__":
    unittest.main()
