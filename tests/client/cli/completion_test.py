"""Shell completion comes from the same definitions as --help, so it knows every verb and every flag."""

import os
import re
import subprocess
import unittest

from tests.client.cli.completion_help import all_verbs, flags_of, help_of, verbs_below
from tests.client.cli.flowing import FlowingTest
from tests.client.cli.tool import TOOL


class CompletionTest(FlowingTest):
    def script(self, shell):
        code, output, errors = self.run_tool("completion", shell)
        self.assertEqual((code, errors), (0, ""))
        return output.decode()

    def complete(self, *words):
        """What bash offers for the last of these words."""
        body = f"""{self.script("bash")}
        PATH={os.path.dirname(TOOL)}:$PATH
        export PYLABHUB_DIRECTORY={self.directory}
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        compopt() {{ :; }}
        _pylabhub; printf '%s\\n' "${{COMPREPLY[@]}}"
        """
        done = subprocess.run(["bash", "--norc", "-c", body, "bash", "pylabhub", *words], capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_every_verb_and_flag_of_help_is_completed_in_bash(self):
        checked = 0
        for verbs in all_verbs():
            below = verbs_below(*verbs)
            if below:
                self.assertEqual(sorted(self.complete(*verbs, "")), sorted(below))
            flags = set(re.findall(r"(?<![\w-])--[a-z-]+", help_of(*verbs).split("Options:")[1].split("Examples:")[0]))
            offered = set(self.complete(*verbs, "--"))
            own = flags_of(*verbs)
            self.assertLessEqual(own, offered, verbs)
            self.assertTrue(own <= flags)
            checked += len(own)
        self.assertGreater(checked, 80)

    def test_words_of_a_flag_are_completed(self):
        self.assertEqual(self.complete("channels", "--output", ""), ["table", "json"])
        self.assertEqual(self.complete("tail", "x", "--output", "j"), ["json"])
        self.assertEqual(self.complete("completion", "z"), ["zsh"])
        self.assertEqual(self.complete("publish", "x", "--policy", "s"), ["sync_reader", "single_reader"])
        self.assertEqual(self.complete("tail", "x", "--count", ""), [])

    def test_files_and_folders_are_completed_where_they_are_meant(self):
        with open(self.scratch("a.schema"), "w", encoding="utf-8"):
            pass
        self.assertEqual(self.complete("publish", "x", "--schema", self.scratch("a.")), [self.scratch("a.schema")])
        self.assertEqual(self.complete("tail", "x", "--certs", self.config[:-1]), [self.config])

    def test_names_of_channels_are_those_of_this_host(self):
        publisher = self.flow("camera.left")
        self.await_slots("camera.left", 0)
        self.assertEqual(self.complete("tail", "cam"), ["camera.left"])
        self.assertEqual(self.complete("describe", ""), ["camera.left"])
        self.assertEqual(self.complete("tail", "x"), [])
        self.end(publisher)

    def test_the_other_shells_have_the_same_verbs_and_flags(self):
        zsh = self.script("zsh")
        fish = self.script("fish")
        for verbs in all_verbs():
            path = " ".join(("pylabhub",) + verbs)
            self.assertIn(f"'{path}:-'*)", zsh)
            if verbs:
                self.assertIn(f" -a {verbs[-1]} -d '", fish)
            for flag in re.findall(r"^  (?:-\w,)?--([a-z-]+)", help_of(*verbs), re.M):
                self.assertIn(f"--{flag}", zsh)
                self.assertRegex(fish, rf" -l {flag}\b")

    def test_bash_reads_the_script_without_a_word(self):
        done = subprocess.run(["bash", "-n", "-c", self.script("bash")], capture_output=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_a_shell_that_is_not_known_is_named(self):
        code, _, errors = self.run_tool("completion", "tcsh")
        self.assertEqual(code, 2)
        self.assertIn("tcsh", errors)


if __name__ == "__main__":
    unittest.main()
