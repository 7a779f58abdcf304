"""Tests that Debian's Python runs, for which the package's compiled half is built."""

def python_test(name, src, size = "medium", data = [], tags = []):
    """A unittest file, run by /usr/bin/python3 whatever python3 is in the path.

    Args:
      name: of the test
      src: the file
      size: of the test
      data: what it runs
      tags: of the test
    """
    native.sh_test(
        name = name,
        size = size,
        srcs = ["run_python.sh"],
        args = ["$(location %s)" % src],
        data = [
            src,
            "lab.py",
            "//client/python:pylabhub",
        ] + data,
        # The interpreter is not built with a sanitizer.
        tags = [
            "noasan",
            "notsan",
        ] + tags,
    )
