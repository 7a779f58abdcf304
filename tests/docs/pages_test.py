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

    def test_every_command_of_every_page_is_run_by_somebody(self):
        for path in (ROOT / "docs").rglob("*.md"):
            read = page.parse(path.read_text())
            for runner, _ in read.elsewhere:
                self.assertTrue((ROOT / runner).is_file(), f"{path}: {runner}")
            name = str(path.relative_to(ROOT / "docs"))
            if path not in PAGES and name not in RUN_WHOLE_ELSEWHERE:
                self.assertEqual([step.commands for step in read.steps], [], f"{name}: nobody runs these commands")
        for runner in RUN_WHOLE_ELSEWHERE.values():
            self.assertTrue((ROOT / runner).is_file(), runner)


# Pages whose commands other tests run, from the first to the last.
RUN_WHOLE_ELSEWHERE = {
    "howto/containers.md": "tests/docs/containers_page_test.py",
    "languages.md": "tests/polyglot/run.sh",
    "recording.md": "tests/docs/recording_page_test.py",
    "tool.md": "tests/client/cli/page_test.py",
}
PAGES = [ROOT / "docs/tutorial.md",
         *(each for each in sorted((ROOT / "docs/howto").glob("*.md"))
           if str(each.relative_to(ROOT / "docs")) not in RUN_WHOLE_ELSEWHERE)]


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
