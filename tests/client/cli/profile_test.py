"""Connection profiles: flags beat the environment, which beats the profile."""

import json
import os
import subprocess
import unittest

from tests.client.cli.tool import TOOL, ToolTest


class ProfileTest(ToolTest):
    def profiles(self, text):
        folder = os.path.join(self.config, "pylabhub")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "profiles"), "w", encoding="utf-8") as file:
            file.write(text)

    def run_alone(self, *arguments, **environment):
        """Without the flags that the other tests add."""
        done = subprocess.run([TOOL, *arguments], capture_output=True, text=True, timeout=60, check=False,
                              env={**os.environ, **environment})
        return done.returncode, done.stdout, done.stderr

    def folder_named(self, *arguments, **environment):
        """The folder that `channels` looks into, which is not there and so is named."""
        code, _, errors = self.run_alone("channels", *arguments, **environment)
        self.assertEqual(code, 1, errors)
        return errors

    def test_a_flag_beats_the_environment_which_beats_the_profile(self):
        self.profiles("[lab]\ndirectory = /no/profile\n")
        self.assertIn("/no/profile", self.folder_named("--profile", "lab"))
        self.assertIn("/no/profile", self.folder_named(PYLABHUB_PROFILE="lab"))
        self.assertIn("/no/environment", self.folder_named("--profile", "lab", PYLABHUB_DIRECTORY="/no/environment"))
        self.assertIn("/no/flag", self.folder_named("--profile", "lab", "--directory", "/no/flag",
                                                    PYLABHUB_DIRECTORY="/no/environment"))

    def test_the_default_profile_counts_where_none_is_named(self):
        self.profiles("directory = /no/default\n[lab]\ndirectory = /no/profile\n")
        self.assertIn("/no/default", self.folder_named())
        self.assertIn("/no/profile", self.folder_named("--profile", "lab"))

    def test_a_profile_says_the_broker(self):
        self.profiles("[lab]\nbroker = localhost:1\n")
        code, _, errors = self.run_alone("channels", "--profile", "lab")
        self.assertEqual(code, 2)
        self.assertIn("--broker localhost:1 needs --certs", errors)

    def test_output_can_be_set_and_a_flag_beats_it(self):
        self.profiles("output = json\n")
        self.assertEqual(self.run_tool("channels")[:2], (0, b""))
        self.assertIn(b"CHANNEL", self.run_tool("channels", "--output", "table")[1])

    def test_list_and_show_say_what_counts_and_where_it_comes_from(self):
        self.profiles("[lab]\nbroker = lab7:5570\ncerts = ~/certs\n[home]\nbroker = localhost:5570\n")
        code, output, _ = self.run_alone("profile", "list", "--output", "json")
        self.assertEqual(code, 0)
        self.assertEqual([json.loads(line)["profile"] for line in output.splitlines()], ["lab", "home"])
        code, output, _ = self.run_alone("profile", "show", "lab", "--output", "json", HOME="/home/ada",
                                         PYLABHUB_BROKER="other:1")
        shown = {line["setting"]: (line["value"], line["from"]) for line in map(json.loads, output.splitlines())}
        self.assertEqual(shown["broker"], ("other:1", "PYLABHUB_BROKER"))
        self.assertEqual(shown["certs"], ("/home/ada/certs", "profile lab"))
        self.assertIn("lab7:5570", self.run_alone("profile", "list")[1])
        self.assertIn("profile lab", self.run_alone("profile", "show", "lab")[1])

    def test_no_profiles_are_no_error(self):
        self.assertEqual(self.run_tool("channels")[0], 0)
        self.assertEqual(self.run_alone("profile", "list")[0], 0)

    def test_a_profile_that_is_not_there_and_a_mistake_are_named(self):
        code, _, errors = self.run_alone("channels", "--profile", "absent")
        self.assertEqual(code, 2)
        self.assertIn("no profile 'absent'", errors)
        self.profiles("[lab]\nport = 1\n")
        code, _, errors = self.run_alone("channels")
        self.assertEqual(code, 2)
        self.assertIn("pylabhub/profiles:2: there is no setting 'port'", errors)
        self.profiles("output = xml\n")
        code, _, errors = self.run_alone("channels")
        self.assertEqual(code, 2)
        self.assertIn("xml", errors)


if __name__ == "__main__":
    unittest.main()
