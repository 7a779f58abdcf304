"""Checks the layers of this tree, and that the check sees each kind of breach in a tree made to break them."""

import os
import tempfile
import unittest

from tests.lint import layering

PRIVATE = 'package(default_visibility = ["//visibility:private"])\n'


def tree_root():
    """The source tree. Bazel hands a test links to the files; WORKSPACE is named in `data` so that one can be followed."""
    return os.path.dirname(os.path.realpath("WORKSPACE"))


class FixtureTree:
    """A folder with the given files, gone when the `with` ends."""

    def __init__(self, files):
        self._files = files

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory()
        for path, text in self._files.items():
            whole = os.path.join(self._folder.name, path)
            os.makedirs(os.path.dirname(whole), exist_ok=True)
            with open(whole, "w", encoding="utf-8") as file:
                file.write(text)
        return self._folder.name

    def __exit__(self, *_):
        self._folder.cleanup()


class LayeringTest(unittest.TestCase):
    def check(self, path, text):
        with FixtureTree({path: text}) as root:
            return layering.violations(root)

    def assert_breach(self, path, text, expected):
        found = self.check(path, text)
        self.assertEqual(len(found), 1, found)
        self.assertIn(expected, found[0])

    def assert_clean(self, path, text):
        self.assertEqual(self.check(path, text), [])

    def test_this_tree_is_well_layered(self):
        root = tree_root()
        self.assertTrue(os.path.isdir(os.path.join(root, "third_party")), root)
        self.assertEqual(layering.violations(root), [])

    def test_a_layer_may_include_itself_and_those_below(self):
        self.assert_clean("broker/a.cc", '#include "broker/a.h"\n#include "proto/pylabhub/v1/broker.pb.h"\n')
        self.assert_clean("client/a.cc", '#include "shm/schema.h"\n#include <string>\n')
        self.assert_clean("tests/e2e/a.cc", '#include "broker/a.h"\n#include "client/messenger.h"\n')

    def test_broker_and_client_never_meet(self):
        self.assert_breach("broker/a.cc", '#include "client/messenger.h"\n', "broker may not know client")
        self.assert_breach("client/a.cc", '#include "broker/registry.h"\n', "client may not know broker")

    def test_the_broker_does_not_know_the_data_plane(self):
        self.assert_breach("broker/a.cc", '#include "shm/schema.h"\n', "broker may not know shm")

    def test_shm_knows_nobody(self):
        self.assert_breach("shm/a.h", '#include "client/messenger.h"\n', "shm may not know client")
        self.assert_breach("shm/a.h", '#include "proto/tls/a.h"\n', "shm may not know proto")
        self.assert_breach("shm/a.h", '#include "pylabhub/v1/broker.pb.h"\n', "shm may not know proto")
        self.assert_breach("shm/a.h", "#include <grpcpp/grpcpp.h>\n", "which only")
        self.assert_breach("shm/a.h", "#  include <google/protobuf/message.h>\n", "which only")

    def test_an_angled_include_does_not_get_around_it(self):
        self.assert_breach("shm/a.h", "#include <broker/registry.h>\n", "shm may not know broker")
        self.assert_breach("shm/a.h", "#include <shm/ring.h>\n", "in quotes")

    def test_nothing_includes_a_test(self):
        self.assert_breach("client/a.h", '#include "tests/support/a.h"\n', "client may not know tests")
        self.assert_breach("client/a.h", "#include <gtest/gtest.h>\n", "which only tests/")

    def test_an_include_has_its_path_from_the_root(self):
        self.assert_breach("shm/a.cc", '#include "a.h"\n', "path from the repository root")

    def test_a_library_reads_no_command_line_and_chooses_no_sink(self):
        self.assert_breach("client/messenger.cc", "#include <CLI/CLI.hpp>\n", "which only")
        self.assert_breach("broker/registry.cc", "#include <spdlog/sinks/stdout_sinks.h>\n", "which only")
        self.assert_clean("broker/main.cc", "#include <CLI/CLI.hpp>\n")

    def test_deps_follow_the_layers(self):
        self.assert_breach(
            "shm/BUILD.bazel", PRIVATE + 'cc_library(name = "a", deps = ["//client:messenger"])', "may not know client")
        self.assert_breach(
            "broker/BUILD.bazel",
            PRIVATE + 'cc_library(name = "a", deps = [":b"] + select({"x": ["//shm"]}))',
            "may not know shm")
        self.assert_clean("client/BUILD.bazel", PRIVATE + 'cc_library(name = "a", deps = ["//shm:schema", "@system//:absl"])')

    def test_visibility_agrees_with_the_layers(self):
        self.assert_breach(
            "shm/BUILD.bazel",
            PRIVATE + 'cc_library(name = "a", visibility = ["//broker:__subpackages__"])',
            "broker may not know shm")
        self.assert_clean(
            "shm/BUILD.bazel",
            PRIVATE + 'cc_library(name = "a", visibility = ["//client:__subpackages__", "//tests:__subpackages__"])')

    def test_a_package_is_private_until_it_is_opened(self):
        self.assert_breach("shm/BUILD.bazel", 'cc_library(name = "a")', "must start with package")
        self.assert_breach(
            "shm/BUILD.bazel", 'package(default_visibility = ["//visibility:public"])', "must start with package")
        self.assert_breach(
            "shm/BUILD.bazel", 'package(default_visibility = ["//tests:__subpackages__"])', "must start with package")
        self.assert_clean("tests/support/BUILD.bazel", 'package(default_visibility = ["//tests:__subpackages__"])')

    def test_the_top_level_holds_only_what_is_listed(self):
        self.assert_breach("notes.txt", "", "does not belong at the top level")
        self.assert_clean("bazel-out/x", "")


if __name__ == "__main__":
    unittest.main()
