"""The library as it is shipped has no trace of a crash point."""

import pathlib
import re
import sys
import unittest

POINT = re.compile(r'PYLABHUB_CRASH_POINT\("([a-z0-9_.]+)"\)')
# What only a build with crash points has beside the names.
HOOK = b"crash_hook"


def points():
    names = set()
    for path in pathlib.Path("shm").rglob("*"):
        if path.suffix in (".cc", ".h"):
            names |= set(POINT.findall(path.read_text()))
    return sorted(names)


def traces(path):
    content = path.read_bytes()
    return [name for name in points() if name.encode() in content] + ([HOOK] if HOOK in content else [])


class NoTraceTest(unittest.TestCase):

    def test_the_shipped_library_has_no_point(self):
        libraries = [path for path in pathlib.Path("shm").rglob("*") if path.suffix in (".a", ".so")]
        self.assertGreaterEqual(len(libraries), 6, "the libraries were not found")
        self.assertEqual({str(path): traces(path) for path in libraries if traces(path)}, {})

    def test_a_build_with_points_would_show(self):
        self.assertGreater(len(points()), 100)
        found = traces(pathlib.Path("tests/chaos/crash_points_test"))
        self.assertIn("ring.commit.stamped", found)
        self.assertGreater(len(found), 100)


if __name__ == "__main__":
    sys.exit(unittest.main())
