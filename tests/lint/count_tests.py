"""Counts test cases in what Bazel reported, for tests/run.sh.

    python3 tests/lint/count_tests.py EVENTS.json     prints "PASSED FAILED SKIPPED", then names each failure on stderr

EVENTS.json is what `--build_event_json_file` wrote. Each test's XML is read for its cases, so that a GoogleTest binary
counts as many as it holds. A target that did not build is one failure; so is a test that failed with no failed case
(a crash, a time-out, a sanitizer's report at exit).
"""

import json
import sys
import urllib.parse
import xml.etree.ElementTree


def count(events):
    """Returns (passed, skipped, failures), where failures is a list of names."""
    passed = skipped = 0
    failures = []
    for event in events:
        identity = event.get("id", {})
        if "targetCompleted" in identity and not event.get("completed", {}).get("success"):
            if "aspect" not in identity["targetCompleted"]:
                failures.append(identity["targetCompleted"]["label"] + " (does not build)")
        if "testResult" in identity:
            target = _count_target(identity["testResult"]["label"], event["testResult"])
            passed += target[0]
            skipped += target[1]
            failures += target[2]
    return passed, skipped, failures


def _count_target(label, result):
    succeeded = result.get("status") in ("PASSED", "FLAKY")
    passed = skipped = 0
    failures = []
    for case in _cases(result):
        if case.get("status") == "notrun" or case.find("skipped") is not None:
            skipped += 1
        elif case.find("failure") is not None or case.find("error") is not None:
            failures.append(f"{label} {case.get('classname', '')}.{case.get('name')}")
        else:
            passed += 1
    if succeeded:
        # A flaky pass: the XML is of the attempt that counted.
        return max(passed, 0 if skipped else 1), skipped, []
    return passed, skipped, failures or [f"{label} ({result.get('status', 'no status')})"]


def _cases(result):
    for output in result.get("testActionOutput", []):
        if output["name"] == "test.xml":
            path = urllib.parse.unquote(urllib.parse.urlparse(output["uri"]).path)
            try:
                return list(xml.etree.ElementTree.parse(path).iter("testcase"))
            except (OSError, xml.etree.ElementTree.ParseError):
                return []  # Cut short by a crash; the target's status says the rest.
    return []


def main():
    try:
        with open(sys.argv[1], encoding="utf-8") as file:
            passed, skipped, failures = count(json.loads(line) for line in file)
    except (OSError, ValueError) as error:
        print(f"count_tests.py: {sys.argv[1]}: {error}", file=sys.stderr)
        passed, skipped, failures = 0, 0, ["Bazel left no report"]
    for name in failures:
        print(f"FAILED: {name}", file=sys.stderr)
    print(passed, len(failures), skipped)


if __name__ == "__main__":
    main()
