"""What `publish` takes and `tail` shows beside plain bytes: CSV, JSON lines, chosen fields, rates."""

import json
import unittest

from tests.client.cli.flowing import FlowingTest

CSV = b"""count,celsius,position[0],position[1]
1,21.5,0,0.5
2,-3,1,1.5

3,nan,2,2.5
"""


class FormatsTest(FlowingTest):
    def publish(self, text, *options):
        path = self.scratch("input")
        with open(path, "wb") as file:
            file.write(text)
        return self.start("publish", "records", path, "--schema", self.write_schema(), *options)

    def tail(self, *options):
        code, output, errors = self.run_tool("tail", "records", "--wait", "30s", *options)
        self.assertEqual((code, errors), (0, ""))
        return output

    def records(self, output):
        return [record for line in output.splitlines() for record in json.loads(line)["records"]]

    def test_rows_of_csv_are_records_of_the_schema(self):
        publisher = self.publish(CSV, "--format", "csv")
        records = self.records(self.tail("--output", "json"))
        self.assertEqual(records, [{"celsius": 21.5, "count": 1, "position": [0, 0.5]},
                                   {"celsius": -3, "count": 2, "position": [1, 1.5]},
                                   {"celsius": "NaN", "count": 3, "position": [2, 2.5]}])
        self.end(publisher)

    def test_what_tail_shows_as_json_is_published_again_bit_for_bit(self):
        first = self.publish(CSV, "--format", "csv")
        lines = self.tail("--output", "json")
        self.end(first)
        second = self.publish(lines, "--format", "json")
        raw = self.tail("--raw")
        self.end(second)
        third = self.publish(raw, "--slot-bytes", "24")
        self.assertEqual(self.records(self.tail("--output", "json")), self.records(lines))
        self.end(third)

    def test_the_members_of_a_group_share_lines_of_json(self):
        line = b'{"celsius":1,"count":%d,"position":[0,0]}\n'
        publisher = self.publish(b"".join(line % i for i in range(40)), "--format", "json", "--policy", "pipeline",
                                 "--capacity", "4", "--group", "work", "--consumers", "2")
        tails = [self.start("tail", "records", "--group", "work", "--wait", "30s", "--output", "json",
                            "--fields", "count") for _ in range(2)]
        counts = []
        for tail in tails:
            code, output, errors = self.finish(tail)
            self.assertEqual((code, errors), (0, ""))
            counts += [record["count"] for record in self.records(output)]
        self.assertEqual(sorted(counts), list(range(40)))
        self.end(publisher)

    def test_fields_are_shown_alone_in_the_order_that_was_asked_for(self):
        publisher = self.publish(CSV, "--format", "csv", "--consumers", "2")
        text = self.start("tail", "records", "--wait", "30s", "--fields", "count,celsius")
        lines = self.tail("--output", "json", "--fields", "count", "--fields", "celsius")
        self.assertEqual(json.dumps(self.records(lines)[0]), '{"count": 1, "celsius": 21.5}')
        self.assertTrue(self.finish(text)[1].splitlines()[0].endswith(b"count=1  celsius=21.5 Cel"))
        self.end(publisher)

    def test_a_field_that_is_not_there_is_named_with_those_that_are(self):
        publisher = self.flow("records")
        code, _, errors = self.run_tool("tail", "records", "--wait", "30s", "--fields", "kelvin")
        self.assertEqual(code, 2)
        self.assertIn("no field 'kelvin'; it has celsius, count, position", errors)
        self.end(publisher)

    def test_every_shows_one_slot_a_time_and_counts_the_others(self):
        publisher = self.flow("records", consumers="1")
        tail = self.start("tail", "records", "--wait", "30s", "--output", "json", "--every", "10m", "--count", "2",
                          bufsize=0)
        self.send(publisher, 1, 2, 3)
        self.assertEqual(json.loads(tail.stdout.readline())["missed_slots"], 0)
        self.await_slots("records", 3)
        self.end(publisher)
        self.assertEqual(self.finish(tail)[:2], (0, b""))
        publisher = self.flow("records", consumers="1")
        tail = self.start("tail", "records", "--wait", "30s", "--output", "json", "--every", "1ms", "--count", "3",
                          bufsize=0)
        self.send(publisher, *range(1000))
        shown = [json.loads(line) for line in (tail.stdout.readline(), tail.stdout.readline())]
        # Those that were passed over are told with the next that is shown.
        self.assertEqual(shown[1]["missed_slots"], shown[1]["sequence"] - shown[0]["sequence"] - 1)
        tail.terminate()
        self.finish(tail)
        publisher.terminate()
        self.finish(publisher)

    def test_rate_tells_how_much_came_and_goes_on_while_nothing_does(self):
        publisher = self.flow("records", consumers="1")
        tail = self.start("tail", "records", "--wait", "30s", "--output", "json", "--rate", "--every", "50ms",
                          bufsize=0)
        self.send(publisher, *range(5))
        came = 0
        while came < 5:
            line = json.loads(tail.stdout.readline())
            came += line["slots"]
            self.assertAlmostEqual(line["slots_per_second"] * line["interval_ns"] / 1e9, line["slots"], places=3)
        self.assertEqual(json.loads(tail.stdout.readline())["slots"], 0)
        tail.terminate()
        self.assertEqual(self.finish(tail)[0], 130)
        publisher.terminate()
        self.finish(publisher)

    def test_a_line_that_is_wrong_is_named_and_what_was_before_it_is_sent(self):
        for format, text, named in (
            ("csv", b"celsius\n1\n", "line 1 of the input: the header has no column 'count'"),
            ("csv", b"count,celsius,position[0],position[1]\n1,2,3\n", "line 2 of the input: it has 3 cells"),
            ("json", b'\n{"celsius":1,"count":1.5,"position":[0,0]}\n', "line 2 of the input: field 'count'"),
        ):
            with self.subTest(text=text):
                code, _, errors = self.finish(self.publish(text, "--format", format, "--consumers", "0"))
                self.assertEqual(code, 2)
                self.assertIn(named, errors)

    def test_csv_and_json_need_a_schema_that_can_be_read(self):
        for arguments, named in ((["--format", "csv"], "--schema FILE"),
                                 (["--format", "json", "--schema", "/no/such"], "/no/such"),
                                 (["--format", "json", "--schema", __file__], "formats_test.py")):
            code, _, errors = self.run_tool("publish", "records", *arguments)
            self.assertIn(code, (1, 2))
            self.assertIn(named, errors)


if __name__ == "__main__":
    unittest.main()
