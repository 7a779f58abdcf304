"""deploy/systemd puts a unit in place that systemd has nothing to say against."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

MOST_EXPOSED = 2.0


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@unittest.skipUnless(shutil.which("systemd-analyze"), "systemd-analyze is not installed")
class SystemdTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)

    def install(self):
        return run("deploy/systemd/install.sh", "--root", str(self.root), env={**os.environ, "PYLABHUB_BIN": "."})

    def unit(self):
        return self.root / "usr/lib/systemd/system/pylabhub-broker.service"

    def test_the_installed_unit_is_verified_in_silence(self):
        self.assertEqual(self.install().returncode, 0)
        # What is installed under a root is looked for there; the rest of a system is this one's.
        here = self.root / "pylabhub-broker.service"
        here.write_text(self.unit().read_text().replace("/usr/bin/", f"{self.root}/usr/bin/"))
        verified = run("systemd-analyze", "verify", "--man=no", str(here))
        self.assertEqual((verified.stdout, verified.stderr, verified.returncode), ("", "", 0))

    def test_the_service_is_hardly_exposed(self):
        self.assertEqual(self.install().returncode, 0)
        judged = run("systemd-analyze", "security", "--offline=yes", "--no-pager", str(self.unit()))
        exposure = re.search(r"exposure level for \S+: ([0-9.]+)", judged.stdout)
        self.assertIsNotNone(exposure, judged.stdout + judged.stderr)
        self.assertLessEqual(float(exposure[1]), MOST_EXPOSED)

    def test_the_configuration_is_good_and_is_not_overwritten(self):
        self.assertEqual(self.install().returncode, 0)
        configuration = self.root / "etc/pylabhub/broker.textproto"
        checked = run(str(self.root / "usr/bin/pylabhub-broker"), "--config", str(configuration), "--check-config")
        self.assertEqual(checked.returncode, 0, checked.stderr)
        self.assertIn('socket: "/run/pylabhub/hand_over.sock"', configuration.read_text())
        configuration.write_text("listen { port: 1234 }\n")
        self.assertEqual(self.install().returncode, 0)
        self.assertEqual(configuration.read_text(), "listen { port: 1234 }\n")

    def test_users_and_folders_are_described_as_systemd_reads_them(self):
        self.assertEqual(self.install().returncode, 0)
        for line in (self.root / "usr/lib/sysusers.d/pylabhub.conf").read_text().splitlines():
            self.assertRegex(line, r"^(#.*|u pylabhub - \"[^\"]+\" /\S+ -)$")
        made = run("systemd-sysusers", "--dry-run", f"--root={self.root}", "pylabhub.conf")
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("pylabhub", made.stdout + made.stderr)

    def test_a_program_that_was_not_built_is_named(self):
        refused = run("deploy/systemd/install.sh", "--root", str(self.root), env={**os.environ, "PYLABHUB_BIN": "/nowhere"})
        self.assertEqual(refused.returncode, 1)
        self.assertIn("/nowhere/broker/pylabhub-broker is not there", refused.stderr)
        self.assertEqual(list(self.root.iterdir()), [])


if __name__ == "__main__":
    unittest.main()
