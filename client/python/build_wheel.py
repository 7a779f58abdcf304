"""Packs the package pylabhub into a wheel, with nothing but the standard library.

    build_wheel.py PACKAGE_FOLDER OUTPUT_FOLDER

PACKAGE_FOLDER is pylabhub/ with _pylabhub.so in it. The wheel is for the interpreter that runs this, and for hosts that have
the shared libraries that Debian 12's packages bring (gRPC, protobuf, abseil). Two runs on the same files give the same bytes.
Prints the wheel's path.
"""

import base64
import hashlib
import pathlib
import re
import sys
import sysconfig
import zipfile

TIME = (1980, 1, 1, 0, 0, 0)
KINDS = (".py", ".pyi", ".typed", ".so")


def version_of(package):
    """What __init__.py says."""
    return re.search(r'^__version__ = "([^"]+)"', (package / "__init__.py").read_text(), re.MULTILINE).group(1)


def tag():
    """Which interpreter and platform the compiled half is for, as wheels name them."""
    interpreter = f"cp{sys.version_info.major}{sys.version_info.minor}"
    return f"{interpreter}-{interpreter}-{re.sub('[-.]', '_', sysconfig.get_platform())}"


def metadata(version):
    return (f"Metadata-Version: 2.1\nName: pylabhub\nVersion: {version}\n"
            "Summary: Named, typed, secured shared-memory channels between processes, as numpy arrays\n"
            "License: Apache-2.0\n"
            f"Requires-Python: =={sys.version_info.major}.{sys.version_info.minor}.*\nRequires-Dist: numpy>=1.24,<2\n")


def files_of(package, version):
    """(name in the wheel, bytes) of everything but RECORD."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    for path in sorted(package.iterdir()):
        if path.suffix in KINDS:
            name = path.name.replace(".so", suffix)
            yield f"pylabhub/{name}", path.read_bytes()
    info = f"pylabhub-{version}.dist-info"
    yield f"{info}/METADATA", metadata(version).encode()
    yield f"{info}/WHEEL", f"Wheel-Version: 1.0\nGenerator: pylabhub\nRoot-Is-Purelib: false\nTag: {tag()}\n".encode()
    yield f"{info}/top_level.txt", b"pylabhub\n"


def record_line(name, content):
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(content)}\n"


def build(package, folder):
    """Writes the wheel to `folder`; its path."""
    version = version_of(package)
    wheel = folder / f"pylabhub-{version}-{tag()}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    record = ""
    record_name = f"pylabhub-{version}.dist-info/RECORD"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files_of(package, version):
            _add(archive, name, content)
            record += record_line(name, content)
        _add(archive, record_name, (record + f"{record_name},,\n").encode())
    return wheel


def _add(archive, name, content):
    entry = zipfile.ZipInfo(name, TIME)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    if not (pathlib.Path(sys.argv[1]) / "_pylabhub.so").exists():
        sys.exit(f"build_wheel.py: {sys.argv[1]} has no _pylabhub.so; build_wheel.sh builds it")
    print(build(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
