"""Who may include whom, and what may stand where.

Headers under the system's include folder are not fenced by Bazel's `deps`, and a wrong `visibility` is one line away, so
this reads the tree itself: include lines, labels in BUILD files, and the names at the top level. It returns what is
wrong as lines of text; it changes nothing.

Run by layering_test.py under Bazel; by hand: python3 tests/lint/layering.py [ROOT].
"""

import ast
import fnmatch
import os
import re
import sys

# Layer -> the layers that it may include or depend on, beside itself.
MAY_USE = {
    "proto": set(),
    "shm": set(),
    "broker": {"proto"},
    "client": {"proto", "shm"},
    "tests": {"proto", "shm", "broker", "client"},
}

# Headers of Debian's libraries -> the files that may include them. A path ending in / is a folder.
FENCED_HEADERS = {
    # The wire: shm works with no broker, and must build with no gRPC.
    r"grpc(pp|\+\+)?/": ["proto/", "broker/", "client/", "tests/"],
    r"google/(protobuf|rpc)/": ["proto/", "broker/", "client/", "tests/"],
    # Command lines are read where a program starts, never in a library.
    r"CLI/": ["broker/main.cc", "broker/flags.", "broker/health_command.", "broker/store_command.", "client/cli/", "client/examples/", "tests/"],
    # The whole terminal is the tool's.
    r"n?curses": ["client/cli/screen."],
    # A library hands its messages to a hook; only a program decides where they go.
    r"spdlog/sinks/": ["broker/main.cc", "broker/log", "client/cli/", "client/examples/", "tests/"],
    # Not thread-safe: one folder talks to it.
    r"hdf5": ["client/recording/", "tests/client/recording/"],
    # Test and bench libraries stay in tests/, with one exception: fakes that ship for applications.
    r"(gtest|gmock|benchmark)/": ["tests/"],
    r"iceoryx": ["tests/bench/"],
}

# Generated headers carry the path of their proto, without a layer's folder when the rule strips it.
GENERATED = re.compile(r"^(proto/)?pylabhub/v\d+/[a-z0-9_]+(\.grpc)?\.pb\.h$")

TOP_LEVEL = {
    "WORKSPACE", "BUILD.bazel", ".bazelrc", ".bazelignore", ".ci", ".clang-format", ".clang-tidy", ".gitignore",
    "proto", "broker", "client", "shm", "tests", "deploy", "docs", "third_party",
    "README.md", "CONTRIBUTING.md", "LICENSE",
}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
SOURCE_ENDINGS = (".cc", ".h", ".c", ".cpp", ".hpp", ".inc")
BUILD_FILES = ("BUILD.bazel", "BUILD")


def violations(root):
    """Returns one line of text for each breach under `root`; an empty list when the tree is well layered."""
    found = stray_top_level_names(root)
    for layer in sorted(MAY_USE):
        for path in _files_under(root, layer):
            name = os.path.basename(path)
            if not name.endswith(SOURCE_ENDINGS) and name not in BUILD_FILES:
                continue
            with open(os.path.join(root, path), encoding="utf-8") as file:
                text = file.read()
            if name.endswith(SOURCE_ENDINGS):
                found += include_violations(path, text)
            else:
                found += build_file_violations(path, text)
    return found


def include_violations(path, text):
    layer = path.split("/")[0]
    found = []
    for mark, header in INCLUDE.findall(text):
        target = "proto" if GENERATED.match(header) else header.split("/")[0]
        if target in MAY_USE:
            if target != layer and target not in MAY_USE[layer]:
                found.append(f"{path}: includes {header}, but {layer} may not know {target}")
            elif mark == "<":
                found.append(f"{path}: includes <{header}>; write our own headers in quotes")
        elif mark == '"' and "/" not in header:
            found.append(f'{path}: includes "{header}"; write the path from the repository root')
        found += [
            f"{path}: includes {header}, which only {', '.join(allowed)} may"
            for pattern, allowed in FENCED_HEADERS.items()
            if re.match(pattern, header) and not path.startswith(tuple(allowed))
        ]
    return found


def build_file_violations(path, text):
    """Checks `deps`-like labels against the layers, and `visibility` against who may depend on this one."""
    layer = path.split("/")[0]
    found = []
    tree = ast.parse(text, filename=path)
    default_visibility = None
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        arguments = {keyword.arg: keyword.value for keyword in call.keywords}
        if isinstance(call.func, ast.Name) and call.func.id == "package":
            default_visibility = _strings(arguments.get("default_visibility"))
        for label in _strings(arguments.get("deps")) + _strings(arguments.get("implementation_deps")):
            target = _layer_of_label(label)
            if target and target != layer and target not in MAY_USE[layer]:
                found.append(f"{path}: depends on {label}, but {layer} may not know {target}")
        for label in _strings(arguments.get("visibility")):
            if label == "//visibility:public" and layer != "tests":
                continue  # For applications outside this tree; inside, `deps` and includes are still checked.
            viewer = _layer_of_label(label)
            if viewer and viewer != layer and layer not in MAY_USE[viewer]:
                found.append(f"{path}: is visible to {label}, but {viewer} may not know {layer}")
    fixtures_for_tests = layer == "tests" and default_visibility == ["//tests:__subpackages__"]
    if default_visibility != ["//visibility:private"] and not fixtures_for_tests:
        found.append(f'{path}: must start with package(default_visibility = ["//visibility:private"])')
    return found


def stray_top_level_names(root):
    ignored = [".git", "bazel-*"]
    gitignore = os.path.join(root, ".gitignore")
    if os.path.exists(gitignore):
        with open(gitignore, encoding="utf-8") as file:
            ignored += [line.strip().strip("/") for line in file if line.strip()]
    return [
        f"{name}: does not belong at the top level; see CONTRIBUTING.md"
        for name in sorted(os.listdir(root))
        if name not in TOP_LEVEL and not any(fnmatch.fnmatch(name, pattern) for pattern in ignored)
    ]


def _files_under(root, layer):
    for folder, subfolders, names in os.walk(os.path.join(root, layer)):
        subfolders[:] = sorted(name for name in subfolders if name not in ("node_modules", "__pycache__"))
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), root)


def _strings(node):
    """Every string literal in an expression, so that a select() or a sum of lists is seen too."""
    if node is None:
        return []
    return [part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and isinstance(part.value, str)]


def _layer_of_label(label):
    match = re.match(r"^//([a-z_]+)[/:]?", label)
    return match.group(1) if match and match.group(1) in MAY_USE else None


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else "."
    found = violations(root)
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
