"""Arrays that show slots: what they hold, and what becomes of them when the slot goes back."""

import gc
import unittest

import numpy as np

import pylabhub
from lab import channel_name

RECORD = np.dtype([("celsius", "f8"), ("at", [("x", "f4"), ("y", "f4")]), ("counts", "i4", (3,)), ("tag", "S6")],
                  align=True)
LARGE = 65_536  # is looked at in place
SMALL = 64  # is copied


class ArraysTest(unittest.TestCase):
    def open(self, dtype=None, **options):
        name = channel_name("arrays")
        producer = pylabhub.producer(name, dtype, **options)
        self.addCleanup(producer.close)
        consumer = pylabhub.consumer(name)
        self.addCleanup(consumer.close)
        return producer, consumer

    def test_a_record_arrives_as_it_was_written_nested_and_with_its_units(self):
        producer, consumer = self.open(RECORD, units={"celsius": "Cel", "at.x": "m"}, records=4)
        producer.write((21.5, (1, 2), [3, 4, 5], b"stage"))
        slot = consumer.receive(1)
        self.assertEqual(slot.data.dtype, RECORD)
        self.assertEqual(slot.data.shape, (1,))
        self.assertEqual(slot.data[0]["celsius"], 21.5)
        self.assertEqual(slot.data["at"]["y"], [2])
        self.assertEqual(slot.data["counts"].tolist(), [[3, 4, 5]])
        self.assertEqual(slot.data["tag"], [b"stage"])
        self.assertEqual(consumer.schema.units, {"celsius": "Cel", "at.x": "m"})
        self.assertEqual((slot.sequence, slot.missed, slot.redelivered), (0, 0, False))
        self.assertGreater(slot.timestamp_ns, 1_600_000_000_000_000_000)

    def test_a_slot_can_be_filled_in_place_in_part_and_not_at_all(self):
        for slot_records in (4, 4096):
            producer, consumer = self.open(RECORD, records=slot_records)
            with producer.slot(3) as records:
                self.assertEqual(records.shape, (3,))
                records["celsius"] = [1, 2, 3]
            with producer.slot() as records:
                self.assertEqual(records.shape, (slot_records,))
                records["celsius"] = 4
            with self.assertRaises(ZeroDivisionError):
                with producer.slot() as records:
                    records["celsius"] = 1 / 0
            slot = producer.slot()
            slot.array["celsius"][:2] = [5, 6]
            self.assertEqual(slot.commit(2), 2)
            self.assertEqual(consumer.read(1)["celsius"].tolist(), [1, 2, 3])
            self.assertEqual(consumer.read(1)["celsius"].tolist(), [4] * slot_records)
            self.assertEqual(consumer.read(1)["celsius"].tolist(), [5, 6])
            with self.assertRaises(pylabhub.Timeout):
                consumer.read(0)
            self.assertEqual(producer.stats["aborted_slots"], 1)

    def test_what_is_read_cannot_be_written(self):
        for slot_bytes in (SMALL, LARGE):
            producer, consumer = self.open(slot_bytes=slot_bytes)
            producer.write(bytes(slot_bytes))
            view = consumer.receive(1).data
            with self.assertRaises(ValueError):
                view[0] = 1
            if slot_bytes == LARGE:
                # Memory of the channel; of a small slot there is only a copy.
                with self.assertRaises(ValueError):
                    view.flags.writeable = True

    def test_large_slots_are_looked_at_where_they_lie(self):
        producer, consumer = self.open(slot_bytes=LARGE)
        producer.write(bytes(LARGE))
        slot = consumer.receive(1)
        self.assertIs(slot.data, slot.data)
        self.assertFalse(slot.data.flags.owndata)
        self.assertIsNone(slot.data.base.base.__class__.__dict__.get("nbytes"))

    def keep_many(self, keep):
        """Reads slots, keeps something of each, and returns the (number, kept) of them all."""
        producer, consumer = self.open(np.dtype([("value", "u8"), ("other", "u8")]), slot_bytes=LARGE, capacity=4)
        kept = []
        for i in range(50):
            producer.write(np.full(LARGE // 16, i, dtype="u8").repeat(2).tobytes())
            kept.append((i, keep(consumer.receive(1))))
        return consumer, kept

    def test_a_view_that_outlives_its_slot_keeps_its_bytes(self):
        ways = {
            "the array": lambda slot: slot.data,
            "a field": lambda slot: slot.data["value"],
            "a part": lambda slot: slot.data[5:1000:7],
            "a view of a view": lambda slot: slot.data["other"][::2].reshape(2, -1),
            "a record": lambda slot: slot.data[17],
            "a buffer": lambda slot: memoryview(slot.data),
            "the array as its dtype goes on": lambda slot: (slot.data, slot.data.dtype)[0],
            "two names": lambda slot: [slot.data] * 2,
            "an iterator": lambda slot: (slot.data["value"].flat, slot.data)[0],
        }
        for way, keep in ways.items():
            with self.subTest(way):
                consumer, kept = self.keep_many(keep)
                for number, thing in kept:
                    if isinstance(thing, memoryview):
                        thing = np.frombuffer(thing.tobytes(), dtype="u8")
                    elif isinstance(thing, np.flatiter):
                        thing = np.array(thing.copy())
                    values = {int(v) for v in np.array(thing).reshape(-1).view("u8")}
                    self.assertEqual(values, {number}, way)
                self.assertGreaterEqual(consumer.stats["detached_slots"], 49)

    def test_what_nobody_keeps_is_not_copied(self):
        producer, consumer = self.open(slot_bytes=LARGE)
        for _ in range(20):
            producer.write(bytes(LARGE))
            self.assertEqual(int(consumer.receive(1).data.sum()), 0)
            with producer.slot() as array:
                array[:] = 0
            slot = consumer.receive(1)
            del slot
        self.assertEqual(consumer.stats["detached_slots"], 0)
        self.assertEqual(producer.stats["detached_slots"], 0)

    def test_a_released_slot_says_so(self):
        producer, consumer = self.open(slot_bytes=LARGE)
        producer.write(b"abc")
        with consumer.receive(1) as slot:
            self.assertEqual(slot.data.tobytes(), b"abc")
        self.assertTrue(slot.released)
        with self.assertRaisesRegex(pylabhub.SlotReleased, "released"):
            _ = slot.data
        self.assertEqual((slot.sequence, slot.payload_bytes), (0, 3))

    def test_to_receive_the_next_slot_is_to_release_the_one_before(self):
        producer, consumer = self.open(slot_bytes=LARGE)
        producer.write(b"first")
        producer.write(b"second")
        first = consumer.receive(1)
        view = first.data
        second = consumer.receive(1)
        self.assertTrue(first.released)
        self.assertEqual((view.tobytes(), second.data.tobytes()), (b"first", b"second"))

    def test_an_array_of_a_slot_that_was_committed_is_empty_and_read_only(self):
        for slot_bytes in (SMALL, LARGE):
            producer, consumer = self.open(slot_bytes=slot_bytes)
            with producer.slot() as array:
                array[:] = 7
            self.assertEqual(array.shape, (0,))
            with self.assertRaises(ValueError):
                array[...] = 1
            self.assertEqual(set(consumer.read(1).tolist()), {7})
            self.assertEqual(producer.stats["detached_slots"], 0)

    def test_writing_to_what_was_kept_of_a_committed_slot_changes_nothing(self):
        ways = {
            "a part": (lambda array: array[10:20], lambda part: part.fill(9)),
            "a field": (lambda array: array["value"], lambda field: field.fill(9)),
            "a record": (lambda array: array[3], lambda record: record.__setitem__("value", 9)),
            "a buffer": (lambda array: memoryview(array).cast("B"), lambda buffer: buffer.__setitem__(0, 9)),
        }
        for records in (4, 8192):
            for way, (keep, write) in ways.items():
                with self.subTest(way, records=records):
                    producer, consumer = self.open(np.dtype([("value", "u8")]), records=records)
                    with producer.slot() as array:
                        array["value"] = 7
                        # Only what was kept is left of the slot: the array's name goes on to it.
                        array = keep(array)
                    try:
                        write(array)
                    except ValueError:
                        pass  # read-only is as good
                    self.assertEqual(set(consumer.read(1)["value"].tolist()), {7})
                    self.assertEqual(producer.stats["detached_slots"], 1)
                    with producer.slot() as again:
                        again["value"] = 8
                    self.assertEqual(set(consumer.read(1)["value"].tolist()), {8})

    def test_views_live_on_after_everything_is_closed(self):
        name = channel_name("arrays")
        with pylabhub.producer(name, slot_bytes=LARGE) as producer, pylabhub.consumer(name) as consumer:
            producer.write(b"x" * LARGE)
            view = consumer.receive(1).data[1:]
            slot = producer.slot()
            draft = slot.array[5:]
        del producer, consumer
        gc.collect()
        draft[:] = 3
        self.assertEqual(view.tobytes(), b"x" * (LARGE - 1))
        with self.assertRaises(pylabhub.HandleClosed):
            slot.commit()

    def test_write_takes_what_means_the_same_and_refuses_the_rest(self):
        producer, consumer = self.open(RECORD, records=3)
        whole = np.zeros(3, RECORD)
        whole["celsius"] = [1, 2, 3]
        for data, celsius in [(whole, [1, 2, 3]), (whole[::2], [1, 3]), (whole[1], [2]), (whole.tobytes(), [1, 2, 3]),
                              ((4, (0, 0), 0, b""), [4]), ([(5, (0, 0), 0, b"")] * 2, [5, 5])]:
            producer.write(data)
            self.assertEqual(consumer.read(1)["celsius"].tolist(), celsius)
        with self.assertRaises(pylabhub.SchemaMismatch):
            producer.write(np.zeros(3, [("celsius", "f8")]))
        with self.assertRaisesRegex(pylabhub.PayloadTooLarge, "160 bytes"):
            producer.write(np.zeros(4, RECORD))
        with self.assertRaisesRegex(pylabhub.InvalidArgument, "no whole number of records"):
            producer.write(b"12345")
        with self.assertRaises(pylabhub.PayloadTooLarge):
            producer.slot(4).__enter__()
        producer.write(whole)  # what was refused holds nothing up

    def test_a_slot_can_be_read_into_an_array_of_the_callers(self):
        producer, consumer = self.open(RECORD, records=3)
        out = np.zeros(5, RECORD)
        whole = np.zeros(3, RECORD)
        whole["celsius"] = [1, 2, 3]
        producer.write(whole)
        producer.write(whole[:1])
        got = consumer.read(1, out)
        self.assertEqual(got["celsius"].tolist(), [1, 2, 3])
        self.assertTrue(np.shares_memory(got, out))
        self.assertEqual(consumer.read(1, out=out[2:])["celsius"].tolist(), [1])
        self.assertEqual(out["celsius"].tolist(), [1, 2, 1, 0, 0])

        producer.write(whole)
        read_only = np.zeros(3, RECORD)
        read_only.flags.writeable = False
        for bad, error, why in [(out[:2], pylabhub.InvalidArgument, "`out` has 80 bytes, and a slot may have 120"),
                                (np.zeros(9, "f8"), pylabhub.SchemaMismatch, "an array of float64"),
                                (read_only, pylabhub.InvalidArgument, "read-only"),
                                (np.zeros(9, RECORD)[::3], pylabhub.InvalidArgument, "not contiguous"),
                                (bytearray(120), pylabhub.InvalidArgument, "no numpy array")]:
            with self.assertRaisesRegex(error, why):
                consumer.read(1, bad)
        three = np.zeros(3, RECORD)
        self.assertIs(consumer.read(1, three), three)  # what was refused took no slot

    def test_an_array_to_read_into_may_have_rows(self):
        producer, consumer = self.open("u1", records=12)
        frame = np.zeros((3, 4), "u1")
        producer.write(np.arange(12, dtype="u1"))
        self.assertIs(consumer.read(1, frame), frame)
        self.assertEqual(frame[1].tolist(), [4, 5, 6, 7])
        producer.write(np.arange(8, dtype="u1"))
        self.assertEqual(consumer.read(1, frame).tolist(), [[0, 1, 2, 3], [4, 5, 6, 7]])
        producer.write(np.arange(5, dtype="u1"))
        self.assertEqual(consumer.read(1, frame).tolist(), [0, 1, 2, 3, 4])

    def test_plain_numbers_are_converted_within_their_kind(self):
        producer, consumer = self.open("f4", records=8)
        producer.write(np.arange(8, dtype="f8"))
        self.assertEqual(consumer.dtype, np.dtype("f4"))
        self.assertEqual(consumer.read(1).tolist(), list(range(8)))
        with self.assertRaises(TypeError):
            producer.write(np.zeros(8, "c16"))
        producer, consumer = self.open(("u2", (3,)), records=2)
        producer.write([[1, 2, 3], [4, 5, 6]])
        self.assertEqual(consumer.receive(1).data.tolist(), [[1, 2, 3], [4, 5, 6]])

    def test_the_zone_is_read_whole_with_its_version(self):
        name = channel_name("zone")
        calibration = np.dtype([("gain", "f8", (2,))])
        producer = self.enterContext(pylabhub.producer(name, "u1", zone=calibration, zone_units={"gain": "V"}))
        consumer = self.enterContext(pylabhub.consumer(name))
        self.assertIsNone(consumer.read_zone())
        producer.write_zone(([1.5, 2.5],))
        consumer.wait_for_zone(0, timeout=1)
        zone, version = consumer.read_zone()
        self.assertEqual((zone[0]["gain"].tolist(), version), ([1.5, 2.5], 1))
        self.assertEqual(consumer.zone_schema.units, {"gain": "V"})
        with self.assertRaises(pylabhub.Timeout):
            consumer.wait_for_zone(version, timeout=0)

    def test_checksums_are_verified_on_request(self):
        producer, consumer = self.open(slot_bytes=LARGE, checksum="manual")
        producer.write(b"with", checksum=True)
        consumer.receive(1).verify()
        producer.write(b"without")
        with self.assertRaises(pylabhub.NoChecksum):
            consumer.receive(1).verify()


if __name__ == "__main__":
    unittest.main()
