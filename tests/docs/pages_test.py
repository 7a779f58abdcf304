"""Every command of the tutorial and the how-tos runs, in the page's order, and prints what the page shows."""

import pathlib
import unittest

import page

HERE = pathlib.Path().resolve()
ROOT = pathlib.Path("README.md").resolve().parent
PROGRAMS = {
    "pylabhub": "client/cli/pylabhub",
    "pylabhub-broker": "broker/pylabhub-broker",
    "lab_camera": "client/examples/lab_camera",
    # The package is built for Debian's.
    "python3": "/usr/bin/python3",
}


class PageTest(unittest.TestCase):

    def test_what_is_shown_may_leave_things_out_and_be_spaced_as_it_likes(self):
        self.assertTrue(page.matches("a   b\n... c\n", "a b\n  one\n two c"))
        self.assertTrue(page.matches("x=... y", "x=12 y"))
        self.assertFalse(page.matches("x=... y", "x=12 z"))
        self.assertFalse(page.matches("a b", "a b c"))

    def test_blocks_are_told_apart(self):
        read = page.parse("`a.py`:\n```python\n1\n```\n\n```sh\nls\n```\n\n```text\na.py\n```\n\n<!-- run by x -->\n```sh\nhalt\n```\n")
        self.assertEqual(read, page.Page({"a.py": "1\n"}, [page.Step("ls", "a.py\n")], [("x", "halt\n")]))

    def test_a_page_that_shows_something_else_is_found(self):
        for text in ("```sh\necho one\n```\n\n```text\ntwo\n```\n", "```sh\nfalse\n```\n", "```sh\nsleep 60 >&- 2>&- &\n```\n"):
            run = page.Run({}, "")
            self.addCleanup(run.close)
            self.assertIsNotNone(run.run(page.parse(text)), text)

    def test_commands_that_are_run_elsewhere_are(self):
        for path in (*PAGES, ROOT / "docs/howto/containers.md"):
            for runner, commands in page.parse(path.read_text()).elsewhere:
                self.assertTrue((ROOT / runner).is_file(), f"{path}: {runner}")
                self.assertNotEqual(commands.strip(), "")


# containers_page_test.py has the one that is left out.
PAGES = [ROOT / "docs/tutorial.md",
         *(each for each in sorted((ROOT / "docs/howto").glob("*.md")) if each.name != "containers.md")]


def test_of(path):
    def test(self):
        run = page.Run(PROGRAMS, HERE / "client/python")
        self.addCleanup(run.close)
        problem = run.run(page.parse(path.read_text()))
        self.assertIsNone(problem, f"{path.name}: {problem}")

    return test


for each in PAGES:
    setattr(PageTest, f"test_{each.stem.replace('-', '_')}_does_what_it_says", test_of(each))

if __name__ == "__main__":
    unittest.main()
