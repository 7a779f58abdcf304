"""docs/reference says what the code says: pages that are made from it, and tables that must have everything."""

import os
import pathlib
import re
import subprocess
import unittest

HERE = pathlib.Path().resolve()
ROOT = pathlib.Path("README.md").resolve().parent


class ReferenceTest(unittest.TestCase):

    def test_the_pages_are_as_they_would_be_made_now(self):
        for name in ("cli", "c", "cpp", "python"):
            made = subprocess.run(
                ["/usr/bin/python3", ROOT / "tests/docs/reference.py", name, HERE], cwd=ROOT, capture_output=True, text=True,
                check=False, env={**os.environ, "PYTHONPATH": str(HERE / "client/python"), "PYTHONDONTWRITEBYTECODE": "1"})
            self.assertEqual(made.returncode, 0, made.stderr)
            with self.subTest(name):
                self.assertEqual((ROOT / f"docs/reference/{name}.md").read_text(), made.stdout,
                                 "run tests/docs/write_reference.sh, and commit what it writes")

    def test_every_action_of_a_policy_is_in_its_table(self):
        [actions] = re.findall(r"^enum Action \{(.*?)^\}", (ROOT / "proto/policy/policy.proto").read_text(), re.S | re.M)
        names = [name for name in re.findall(r"^  (\w+) = \d+;", actions, re.M) if not name.endswith("UNSPECIFIED")]
        self.assertGreater(len(names), 5)
        page = (ROOT / "docs/broker.md").read_text()
        self.assertEqual([name for name in names if f"| `{name}` |" not in page], [])

    def test_every_method_is_on_the_page_of_the_wire_api(self):
        page = (ROOT / "docs/reference/wire_api.md").read_text()
        for path in sorted((ROOT / "proto/pylabhub/v1").glob("*.proto")):
            for service, body in re.findall(r"^service (\w+) \{(.*?)^\}", path.read_text(), re.S | re.M):
                for method in re.findall(r"^  rpc (\w+)\(", body, re.M):
                    self.assertIn(f"`{service}.{method}`", page)


if __name__ == "__main__":
    unittest.main()
