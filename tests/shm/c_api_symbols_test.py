"""The shared library exports every function that c_api.h declares, and nothing else."""

import os
import re
import subprocess
import unittest

FOLDER = os.path.join(os.environ.get("TEST_SRCDIR", "."), os.environ.get("TEST_WORKSPACE", "."), "shm")


class CApiSymbolsTest(unittest.TestCase):

    def test_exports_are_what_the_header_declares(self):
        listing = subprocess.run(
            ["nm", "--dynamic", "--defined-only", os.path.join(FOLDER, "libpylabhub_shm.so")],
            check=True, capture_output=True, text=True).stdout
        exported = {line.split()[-1].split("@")[0] for line in listing.splitlines() if " T " in line}
        with open(os.path.join(FOLDER, "c_api.h"), encoding="utf-8") as header:
            declared = set(re.findall(r"^PLH_EXPORT [^;(]*?\b(plh_\w+)\(", header.read(), re.MULTILINE))
        self.assertGreater(len(declared), 20)
        self.assertEqual(exported, declared)


if __name__ == "__main__":
    unittest.main()
