"""The commands of docs/howto/containers.md run, with the images that deploy/container.sh builds."""

import os
import pathlib
import subprocess
import unittest

import page

ROOT = pathlib.Path("README.md").resolve().parent

# Under which podman works where there is no systemd; as deploy/container.sh has it.
CONTAINERS_CONF = """[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


class ContainersPageTest(unittest.TestCase):

    def test_it_does_what_it_says(self):
        built = subprocess.run([ROOT / "deploy/container.sh"], capture_output=True, text=True, check=False)
        self.assertEqual(built.returncode, 0, built.stdout + built.stderr)
        run = page.Run({}, "")
        self.addCleanup(run.close)
        settings = run.folder / "containers.conf"
        settings.write_text(CONTAINERS_CONF)
        # Podman keeps its images by the user's home folder if the user is not root.
        run.environment |= {"CONTAINERS_CONF": str(settings), "HOME": os.environ.get("HOME", "/root"),
                            "PATH": run.environment["PATH"] + ":/usr/sbin:/sbin"}
        self.addCleanup(self.remove, run)
        problem = run.run(page.parse((ROOT / "docs/howto/containers.md").read_text()))
        self.assertIsNone(problem, problem)

    def remove(self, run):
        for command in (["rm", "-f", "-t", "0", run.prefix + "broker", run.prefix + "producer"],
                        ["volume", "rm", "-f", run.prefix + "state"]):
            subprocess.run(["podman", *command], env=run.environment, capture_output=True, check=False)


if __name__ == "__main__":
    unittest.main()
