"""What the pages promise: README's commands run, and snippets are in the files that they name."""

import pathlib
import re
import subprocess
import unittest

# The tree itself: links may lead anywhere in it.
ROOT = pathlib.Path("README.md").resolve().parent
README = ROOT / "README.md"
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

# Commands that other tests run whole.
RUN_ELSEWHERE = {
    "deploy/demo.sh": "tests/deploy/demo_test.py",
    "tests/run.sh": ".ci/run",
}


def without_spaces(text):
    return " ".join(text.split())


class ReadmeTest(unittest.TestCase):

    def test_every_snippet_stands_in_the_file_that_is_named_above_it(self):
        snippets = [
            snippet for page in PAGES
            for snippet in re.findall(r"<!-- (\S+) -->\n```cpp\n(.*?)```", page.read_text(), re.S)
        ]
        self.assertGreaterEqual(len(snippets), 10)
        for path, code in snippets:
            self.assertIn(without_spaces(code), without_spaces((ROOT / path).read_text()), path)

    def test_every_command_runs(self):
        blocks = re.findall(r"```sh\n(.*?)```", README.read_text(), re.S)
        self.assertGreaterEqual(len(blocks), 3)
        for block in blocks:
            if block.strip() in RUN_ELSEWHERE:
                runner = RUN_ELSEWHERE[block.strip()]
                # Its last part: the demo is started by a path that is put together.
                self.assertIn(pathlib.Path(block.strip()).name, (ROOT / runner).read_text(), runner)
                continue
            self.run_block(block)

    def run_block(self, block):
        # This test depends on what the block builds, and finds it where Bazel put it for the test.
        lines = [line.replace("bazel-bin/", "./") for line in block.splitlines() if not line.startswith("bazel build")]
        script = "set -e\n" + "\n".join(lines) + "\nwait\n"
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("sensor.temperature", done.stdout)
        self.assertIn("celsius", done.stdout)


if __name__ == "__main__":
    unittest.main()
