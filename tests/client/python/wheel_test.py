"""The wheel: installed as pip does it, it imports and works; what it says of itself is true; the stubs match the code."""

import ast
import base64
import csv
import hashlib
import io
import pathlib
import subprocess
import sys
import tempfile
import unittest
import zipfile

import pylabhub
from lab import channel_name
from pylabhub import _pylabhub

PACKAGE = pathlib.Path("client/python/pylabhub")
BUILDER = "client/python/build_wheel.py"


def build(folder):
    done = subprocess.run([sys.executable, BUILDER, PACKAGE, folder], check=True, stdout=subprocess.PIPE, text=True)
    return pathlib.Path(done.stdout.strip())


class WheelTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.wheel = build(self.folder / "dist")

    def test_it_is_imported_from_where_it_was_unpacked_and_works(self):
        target = self.folder / "site"
        with zipfile.ZipFile(self.wheel) as archive:
            archive.extractall(target)
        script = ("import pylabhub, sys; p = pylabhub.producer(sys.argv[1], 'f8'); c = pylabhub.consumer(sys.argv[1]);"
                  "p.write(1.5); print(pylabhub.__file__, c.read(1)[0])")
        done = subprocess.run([sys.executable, "-c", script, channel_name("wheel")],
                              env={"PYTHONPATH": str(target)}, check=True, stdout=subprocess.PIPE, text=True)
        self.assertEqual(done.stdout.split(), [str(target / "pylabhub" / "__init__.py"), "1.5"])

    def test_pip_installs_it(self):
        target = self.folder / "site"
        if subprocess.run([sys.executable, "-m", "pip", "--version"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode != 0:
            self.skipTest("this Python has no pip")
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", target,
                        "--no-cache-dir", "--disable-pip-version-check", self.wheel], check=True)
        self.assertTrue((target / "pylabhub" / "py.typed").exists())
        self.assertTrue((target / "pylabhub-0.1.0.dist-info" / "METADATA").exists())

    def test_its_record_names_every_file_with_its_hash(self):
        with zipfile.ZipFile(self.wheel) as archive:
            names = set(archive.namelist())
            record = next(name for name in names if name.endswith("/RECORD"))
            rows = list(csv.reader(io.StringIO(archive.read(record).decode())))
            self.assertEqual({row[0] for row in rows}, names)
            for name, digest, size in rows:
                if name == record:
                    continue
                content = archive.read(name)
                expected = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
                self.assertEqual((digest, int(size)), ("sha256=" + expected, len(content)))
        for name in ("pylabhub/py.typed", "pylabhub/_pylabhub.pyi"):
            self.assertIn(name, names)

    def test_the_same_files_give_the_same_wheel(self):
        again = build(self.folder / "again")
        self.assertEqual(again.read_bytes(), self.wheel.read_bytes())


class StubTest(unittest.TestCase):
    def test_the_stubs_say_what_the_compiled_half_has(self):
        tree = ast.parse((PACKAGE / "_pylabhub.pyi").read_text())
        functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        classes = {node.name: {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
                   for node in tree.body if isinstance(node, ast.ClassDef)}
        present = {name for name in vars(_pylabhub) if not name.startswith("_")}
        self.assertEqual(functions | set(classes), present)
        for name, stated in classes.items():
            had = {member for member in vars(getattr(_pylabhub, name)) if not member.startswith("_")}
            self.assertEqual({member for member in stated if not member.startswith("_")}, had, name)

    def test_everything_that_is_public_says_what_it_does(self):
        for name in pylabhub.__all__:
            thing = getattr(pylabhub, name)
            self.assertTrue(thing.__doc__, name)
            if isinstance(thing, type):
                for member, value in vars(thing).items():
                    if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                        self.assertTrue(value.__doc__, f"{name}.{member}")
        for kind in (_pylabhub.Producer, _pylabhub.Consumer, _pylabhub.ReadSlot, _pylabhub.WriteSlot):
            for member, value in vars(kind).items():
                if not member.startswith("_"):
                    # pybind11 puts the signature first; what follows is ours.
                    words = (value.__doc__ or "").split("\n")
                    self.assertTrue([word for word in words if word.strip() and "->" not in word], f"{kind}.{member}")


if __name__ == "__main__":
    unittest.main()
