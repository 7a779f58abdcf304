"""What the tool says to what it cannot do: an error that names the thing and the mend, and nothing else disturbed."""

import os
import subprocess
import tempfile
import unittest

from tests.client.cli.tool import TOOL, ToolTest

# Arguments, exit code, what standard error must name.
TABLE = [
    (["publish", "Bad Name"], 2, "Bad Name"),
    (["publish", ""], 2, "1 to 128 characters"),
    (["publish", "x" * 129], 2, "128"),
    (["tail", "../etc"], 2, "../etc"),
    (["publish", "c", "--slot-bytes", "0"], 2, "--slot-bytes 0"),
    (["publish", "c", "--slot-bytes", "many"], 2, "many"),
    (["publish", "c", "--slot-bytes", "2GiB"], 2, "slot_bytes"),
    (["publish", "c", "--capacity", "0"], 2, "--capacity 0"),
    (["publish", "c", "--capacity", "100000"], 2, "capacity_slots"),
    (["publish", "c", "--capacity", "-1"], 2, "--capacity"),
    (["publish", "c", "--policy", "single_reader", "--consumers", "2"], 2, "--policy single_reader"),
    (["publish", "c", "--policy", "latest_only"], 2, "--policy"),
    (["publish", "c", "--group", "work"], 2, "--policy pipeline"),
    (["tail", "c", "--group", "work", "--latest"], 2, "--latest"),
    (["publish", "c", "--timeout", "5"], 2, "5s"),
    (["publish", "c", "/no/such/file"], 1, "/no/such/file"),
    (["publish", "c", "/"], 1, "folder"),
    (["tail", "absent"], 3, "absent"),
    (["tail", "absent", "--wait", "20ms"], 3, "absent"),
    (["tail", "c", "--raw", "--output", "json"], 2, "--raw"),
    (["tail", "c", "--output", "xml"], 2, "xml"),
    (["tail", "c", "--timeout", "-1s"], 2, "-1s"),
    (["tail", "absent"], 3, "`pylabhub channels`"),
    (["plot", "absent", "x"], 3, "`pylabhub channels`"),
    (["record", "/no/such/run.h5", "absent"], 3, "`pylabhub channels`"),
    (["describe", "absent"], 3, "there is no channel 'absent' in "),
    (["stats", "absent"], 3, "`pylabhub channels` lists"),
    (["describe", "c", "--broker", "localhost:1", "--certs", "/no/such"], 1, "`pylabhub certs init`"),
    (["describe", "c", "--broker", "localhost:1"], 2, "--certs"),
    (["describe", "c", "--broker", "localhost", "--certs", "/"], 2, "host:port"),
    (["publish", "c", "--schema", "/"], 1, "cannot read /: Is a directory"),
    (["publish", "c", "--schema", "/etc/hostname"], 2, "/etc/hostname is no canonical text"),
    (["publish", "c", "--format", "xml"], 2, "'xml' is none of csv, json, raw"),
    (["top", "--sort", "age"], 2, "'age' is none of bytes, consumers, lag"),
    (["replay", "/no/such/run.h5"], 3, "opening /no/such/run.h5: No such file or directory"),
    (["replay", "/"], 1, "opening /: Is a directory"),
    (["replay", "/etc/hostname"], 1, "/etc/hostname is no HDF5 file"),
    (["channels", "extra"], 2, "extra"),
    (["chanels"], 2, "there is no 'chanels'"),
]


class BadInputTest(ToolTest):
    def test_each_is_an_error_that_names_it(self):
        for arguments, expected_code, named in TABLE:
            with self.subTest(arguments=arguments):
                code, output, errors = self.run_tool(*arguments)
                self.assertEqual((code, output), (expected_code, b""), errors)
                self.assertIn(named, errors)
                self.assertNotIn("terminate called", errors)
                self.assertEqual(os.listdir(self.directory), [])

    def test_a_verb_is_needed(self):
        result = subprocess.run([TOOL], capture_output=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 2)
        self.assertIn(b"subcommand", result.stderr)

    def test_help_shows_examples_and_exit_codes(self):
        for verb in ("publish", "tail", "channels"):
            code, output, _ = self.run_tool(verb, "--help")
            self.assertEqual(code, 0)
            self.assertIn(b"Examples:", output)
            self.assertIn(b"Exit codes:", output)

    def test_a_folder_of_channels_that_is_not_there_is_named(self):
        result = subprocess.run([TOOL, "channels", "--directory", "/no/such"], capture_output=True, timeout=60, check=False)
        self.assertEqual(result.returncode, 1)
        self.assertIn(b"/no/such", result.stderr)

    def test_a_channel_has_one_publisher(self):
        first = self.start("publish", "taken", stdin=subprocess.PIPE)
        tail = self.start("tail", "taken", "--wait", "30s", bufsize=0)
        first.stdin.write(b"x")
        first.stdin.flush()
        tail.stdout.readline()
        code, _, errors = self.run_tool("publish", "taken")
        self.assertEqual(code, 1)
        self.assertIn("taken", errors)
        # The first goes on undisturbed.
        first.stdin.write(b"y")
        first.stdin.flush()
        self.assertIn(b"#1 ", tail.stdout.readline())
        self.assertEqual(self.finish(first)[0], 0)
        self.assertEqual(self.finish(tail)[0], 0)


class CertsTest(ToolTest):
    def test_a_folder_that_is_no_authority_is_told_with_the_mend(self):
        for arguments in (["issue", "/no/such", "--name", "x", "--identity", "x"], ["renew", "/no/such", "--name", "x"],
                          ["revoke", "/no/such", "--name", "x"]):
            code, _, errors = self.run_tool("certs", *arguments)
            self.assertEqual(code, 1, errors)
            self.assertIn("cannot read /no/such/", errors)
            self.assertIn("`pylabhub certs init`", errors)

    def test_a_folder_of_profiles_in_place_of_their_file_is_told(self):
        os.makedirs(os.path.join(self.config, "pylabhub", "profiles"))
        code, _, errors = self.run_tool("profile", "list")
        self.assertEqual(code, 1)
        self.assertIn("Is a directory", errors)

    def test_init_makes_a_set_that_only_its_owner_reads(self):
        with tempfile.TemporaryDirectory() as parent:
            folder = os.path.join(parent, "certs")
            code, output, errors = self.run_tool("certs", "init", folder, "--server-name", "lab7.example.org")
            self.assertEqual(code, 0, errors)
            self.assertIn(folder.encode(), output)
            names = sorted(os.listdir(folder))
            self.assertEqual(names, ["ca.key", "ca.pem", "client.key", "client.pem", "server.key", "server.pem"])
            for name in names:
                self.assertEqual(os.stat(os.path.join(folder, name)).st_mode & 0o777, 0o600)

    def test_init_touches_no_folder_that_holds_something(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "mine"), "w", encoding="utf-8"):
                pass
            code, _, errors = self.run_tool("certs", "init", folder)
            self.assertEqual(code, 1)
            self.assertIn(folder, errors)
            self.assertEqual(os.listdir(folder), ["mine"])


if __name__ == "__main__":
    unittest.main()
