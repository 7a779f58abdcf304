"""`pylabhub policy`: what is wrong with a policy, and which rule decides."""

import json
import os
import tempfile
import unittest

from tests.client.cli.tool import ToolTest

POLICY = """\
rules { name: "secret" principals: "*" actions: [DISCOVER, CONSUME] channels: "*.secret" effect: DENY }
rules { name: "viewers" principals: "spiffe://lab/viewer/*" actions: [DISCOVER, CONSUME] channels: "camera.*" }
rules { name: "operators" principals: "operator" actions: ADMIN channels: "*" }
"""


class PolicyTest(ToolTest):
    def write(self, text):
        file = tempfile.NamedTemporaryFile("w", suffix=".textproto", delete=False)
        self.addCleanup(os.unlink, file.name)
        with file:
            file.write(text)
        return file.name

    def explain(self, *arguments, policy=POLICY):
        return self.run_tool("policy", "explain", *arguments, "--policy", self.write(policy))

    def test_a_good_policy_is_said_to_be_good(self):
        code, output, errors = self.run_tool("policy", "check", self.write(POLICY))
        self.assertEqual((code, errors), (0, ""))
        self.assertIn(b"good, 3 rules", output)

    def test_everything_that_is_wrong_is_told_with_its_line(self):
        path = self.write(POLICY + 'rules { name: "secret" }\nrules { name: "x" channels: "A" }\n')
        code, output, errors = self.run_tool("policy", "check", path)
        self.assertEqual((code, output), (1, b""))
        for said in ["4:9: rule \"secret\": name: the rule in line 1", "4:1: rule \"secret\": principals", "5:19: rule \"x\": channels"]:
            self.assertIn(f"{path}:{said}", errors)

    def test_a_rule_that_never_decides_is_a_warning_and_with_strict_a_failure(self):
        path = self.write(POLICY + 'rules { name: "late" principals: "operator" actions: ADMIN channels: "camera.*" }\n')
        code, _, errors = self.run_tool("policy", "check", path)
        self.assertEqual(code, 0)
        self.assertIn(f'{path}:4:1: warning: rule "late" never decides anything: what it matches is decided by "operators" (line 3)', errors)
        self.assertEqual(self.run_tool("policy", "check", "--strict", path)[0], 1)

    def test_a_file_that_is_not_there_is_named(self):
        code, _, errors = self.run_tool("policy", "check", "/no/such/policy")
        self.assertEqual(code, 1)
        self.assertIn("/no/such/policy: cannot be read: No such file", errors)

    def test_the_rule_that_allows_is_named_with_what_matches(self):
        code, output, _ = self.explain("spiffe://lab/viewer/1", "consume", "camera.left")
        self.assertEqual(code, 0)
        self.assertIn('ALLOWED by rule "viewers"', output.decode())
        self.assertIn("spiffe://lab/viewer/1  matches spiffe://lab/viewer/*", output.decode())

    def test_a_denial_has_an_exit_code_of_its_own_and_says_which_rule_or_that_there_is_none(self):
        code, output, _ = self.explain("spiffe://lab/viewer/1", "CONSUME", "camera.secret")
        self.assertEqual(code, 7)
        self.assertIn('DENIED by rule "secret"', output.decode())
        code, output, _ = self.explain("spiffe://lab/viewer/1", "REGISTER", "camera.left")
        self.assertEqual(code, 7)
        self.assertIn("DENIED: no rule matches", output.decode())
        self.assertIn("viewers (line 2, allows) is for actions: DISCOVER, CONSUME", output.decode())

    def test_json_says_the_same_to_programs(self):
        code, output, _ = self.explain("operator", "ADMIN", "", "--output", "json")
        self.assertEqual(code, 0)
        told = json.loads(output)
        self.assertEqual((told["allowed"], told["rule"]["name"], told["rule"]["line"]), (True, "operators", 3))
        code, output, _ = self.explain("operator", "WATCH", "camera.left", "--output", "json")
        self.assertEqual(code, 7)
        told = json.loads(output)
        self.assertEqual((told["allowed"], told["rule"]), (False, None))
        self.assertEqual([(miss["name"], miss["differs_in"]) for miss in told["near_misses"]], [("operators", "actions")])

    def test_what_is_no_action_or_no_name_is_a_wrong_command_line(self):
        self.assertEqual(self.explain("operator", "WRITE", "x")[0], 2)
        self.assertEqual(self.explain("operator", "ADMIN", "Bad Name")[0], 2)


if __name__ == "__main__":
    unittest.main()
