"""docs/tests.md and docs/security.md name tests: each must stand in the tree."""

import pathlib
import re
import unittest

ROOT = pathlib.Path("README.md").resolve().parent


class TestIndexTest(unittest.TestCase):

    def test_every_test_that_is_named_exists(self):
        sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*_test.cc"))
        defined = {f"{suite}.{name}" for suite, name in re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", sources, re.M)}
        for page, at_least in (("docs/tests.md", 30), ("docs/security.md", 10)):
            named = re.findall(r"`(\w+Test\.\w+)`", (ROOT / page).read_text())
            self.assertGreater(len(named), at_least)
            self.assertEqual([name for name in named if name not in defined], [], page)


if __name__ == "__main__":
    unittest.main()
