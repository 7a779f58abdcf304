"""What PYLABHUB_SCHEMA must not let through does not compile, and the compiler's message says why."""

import os
import subprocess
import tempfile
import unittest

ROOT = os.path.join(os.environ.get("TEST_SRCDIR", "."), os.environ.get("TEST_WORKSPACE", "."))
COMPILER = ["g++", "-std=c++20", "-Wall", "-Wextra", "-Werror", "-iquote", ROOT]
EPILOGUE = "auto schema = pylabhub::shm::SchemaOf<Record>();\n"

COMPILES = """
enum class Mode : uint8_t { kOff, kOn };
struct Point { float x; float y; };
PYLABHUB_SCHEMA(Point, (x, "m"), (y, "m"));
struct One { int32_t only; };
PYLABHUB_SCHEMA(One, (only, ""));
struct Record { char tag[3]; Mode mode; Point at; One one; double grid[2][3]; bool ok; };
PYLABHUB_SCHEMA(Record, (tag, ""), (mode, ""), (at, ""), (one, ""), (grid, "V"), (ok, ""));
"""

# What is wrong, the code, and what the message must say.
BREACHES = {
    "wrong order": (
        """struct Record { int32_t a; int32_t b; };
        PYLABHUB_SCHEMA(Record, (b, ""), (a, ""));""",
        "PYLABHUB_SCHEMA(Record) must list every member, in order"),
    "a member left out in the middle": (
        """struct Record { int32_t a; int32_t forgotten; int32_t b; };
        PYLABHUB_SCHEMA(Record, (a, ""), (b, ""));""",
        "PYLABHUB_SCHEMA(Record) must list every member"),
    "a member left out at the end": (
        """struct Record { int64_t a; int64_t forgotten; };
        PYLABHUB_SCHEMA(Record, (a, ""));""",
        "PYLABHUB_SCHEMA(Record) must list every member"),
    "a member left out where padding could be": (
        """struct Record { int8_t a; int8_t forgotten; int16_t b; };
        PYLABHUB_SCHEMA(Record, (a, ""), (b, ""));""",
        "PYLABHUB_SCHEMA(Record) must list every member, also one that fits into padding"),
    "a member left out where padding could be at the end": (
        """struct Record { int64_t a; char forgotten[5]; };
        PYLABHUB_SCHEMA(Record, (a, ""));""",
        "PYLABHUB_SCHEMA(Record) must list every member, also one that fits into padding"),
    "no such member": (
        """struct Record { int32_t a; };
        PYLABHUB_SCHEMA(Record, (celsius, "Cel"));""",
        "celsius"),
    "a pointer": (
        """struct Record { int32_t* a; };
        PYLABHUB_SCHEMA(Record, (a, ""));""",
        "a member is a number, an enum, an array of these, or a described struct"),
    "long double": (
        """struct Record { long double a; };
        PYLABHUB_SCHEMA(Record, (a, ""));""",
        "its size differs between platforms"),
    "a struct that is not described": (
        """struct Inner { int32_t x; };
        struct Record { Inner a; };
        PYLABHUB_SCHEMA(Record, (a, ""));""",
        "a member is a number, an enum, an array of these, or a described struct"),
    "an array of structs": (
        """struct Inner { int32_t x; };
        PYLABHUB_SCHEMA(Inner, (x, ""));
        struct Record { Inner a[2]; };
        PYLABHUB_SCHEMA(Record, (a, ""));""",
        "an array of structs has no schema yet"),
    "not copyable as bytes": (
        """struct Record { std::string a; };
        PYLABHUB_SCHEMA(Record, (a, ""));""",
        "Record must be copyable as bytes"),
    "members in two classes": (
        """struct Base { int32_t a; };
        struct Record : Base { int32_t b; };
        PYLABHUB_SCHEMA(Record, (a, ""), (b, ""));""",
        "Record must be copyable as bytes, with its members in one class"),
    "not described": (
        "struct Record { int32_t a; };",
        'say PYLABHUB_SCHEMA(T, (member, "unit"), ...) beside the struct'),
}


class DescribeCompileTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        # The header is read once: it is most of the work.
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.prologue = os.path.join(folder.name, "prologue.h")
        with open(cls.prologue, "w", encoding="utf-8") as prologue:
            prologue.write('#include <string>\n#include "shm/describe.h"\n')
        subprocess.run(COMPILER + ["-x", "c++-header", cls.prologue, "-o", cls.prologue + ".gch"], check=True)

    def compile(self, code):
        """The compiler's exit code and messages."""
        command = COMPILER + ["-Winvalid-pch", "-include", self.prologue, "-fsyntax-only", "-x", "c++", "-"]
        done = subprocess.run(command, input=code + "\n" + EPILOGUE, capture_output=True, text=True, check=False,
                              env={**os.environ, "LC_ALL": "C"})
        return done.returncode, done.stderr

    def test_what_is_described_in_full_compiles(self):
        code, messages = self.compile(COMPILES)
        self.assertEqual(code, 0, messages)

    def test_what_must_not_compile_does_not_and_says_why(self):
        for name, (code, message) in BREACHES.items():
            with self.subTest(name):
                exit_code, messages = self.compile(code)
                self.assertNotEqual(exit_code, 0)
                self.assertIn(message, messages)


if __name__ == "__main__":
    unittest.main()
