"""docs/tool.md and the examples in --help: the page's commands run, and every flag that is named exists."""

import functools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from tests.client.cli.tool import TOOL, ToolTest

PAGE = pathlib.Path("docs/tool.md")


@functools.cache
def help_of(*verbs):
    done = subprocess.run([TOOL, *verbs, "--help"], capture_output=True, text=True, timeout=60, check=False)
    return done.stdout if done.returncode == 0 else ""


def verbs_below(*verbs):
    text = help_of(*verbs)
    if "\nSubcommands:\n" not in text:
        return []
    return re.findall(r"^  ([a-z]+)\s", text.split("\nSubcommands:\n")[1].split("\n\n")[0], re.M)


class PageTest(ToolTest):
    def check_command(self, command):
        """The verbs and flags of `pylabhub VERB... --flag ...` are the tool's."""
        words = command.split()[1:]
        verbs = []
        while words and words[0] in verbs_below(*verbs):
            verbs.append(words.pop(0))
        self.assertTrue(verbs, command)
        for flag in re.findall(r"(?<=\s)--[a-z-]+", " " + " ".join(words)):
            self.assertIn(flag, help_of(*verbs), command)

    def test_the_commands_of_the_page_run_one_after_the_other(self):
        blocks = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
        self.assertGreaterEqual(len(blocks), 6)
        folder = tempfile.mkdtemp(dir=self.config)
        with open(os.path.join(folder, "frames.bin"), "wb") as file:
            file.write(os.urandom(3_000_000))
        script = "set -e -o pipefail\n" + "\n".join(blocks) + "\nwait\n"
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=120, check=False,
            env={**os.environ, "PATH": os.path.dirname(TOOL) + ":" + os.environ["PATH"],
                 "PYLABHUB_DIRECTORY": self.directory})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for wanted in ("celsius=2", "Reading, 16 B a record", "SLOTS/S", "1 channel", "celsius  2", "round trip", "SETTING"):
            self.assertIn(wanted, done.stdout)

    def test_every_flag_in_the_examples_of_help_exists(self):
        checked = 0
        todo = [(verb,) for verb in verbs_below()]
        for verbs in todo:
            todo += [(*verbs, below) for below in verbs_below(*verbs)]
            text = help_of(*verbs)
            if "Examples:" not in text:
                continue
            for line in text.split("Examples:")[1].splitlines():
                for command in re.findall(r"(?:^|[|(;] ?)\s*(pylabhub [^|><;)]*)", line):
                    self.check_command(command)
                    checked += 1
        self.assertGreater(checked, 30)

    def test_every_verb_has_examples_and_is_on_the_page(self):
        page = PAGE.read_text(encoding="utf-8")
        for verb in verbs_below():
            texts = [help_of(verb)] + [help_of(verb, below) for below in verbs_below(verb)]
            self.assertTrue(any("Examples:" in text for text in texts), verb)
            self.assertIn(f"`{verb}", page)

    def test_the_exit_codes_of_the_page_are_those_of_help(self):
        page = set(re.findall(r"^\| (\d+) \|", PAGE.read_text(encoding="utf-8"), re.M))
        codes = help_of("tail").split("Exit codes:")[1]
        self.assertEqual(page, set(re.findall(r"(?<!\w)(\d+) ", codes)))


if __name__ == "__main__":
    unittest.main()
