"""Schemas from numpy dtypes, and back."""

import pickle
import unittest

import numpy as np

import pylabhub
from pylabhub import Schema

# That of docs/schema.md.
SAMPLE = """pylabhub-schema 1
record Sample 48
field valid bool 1 0 
field mode uint8 1 1 
field tag char 6 2 
field celsius float64 1 8 Cel
field counts int16 4 16 1
field at.x float32 1 24 m
field at.y float32 1 28 m
field serial uint64 1 32 
field speed float32 2 40 m/s
"""


class SchemaTest(unittest.TestCase):
    def test_a_text_gives_the_dtype_of_its_struct(self):
        schema = Schema(SAMPLE)
        self.assertEqual(schema.dtype, np.dtype({
            "names": ["valid", "mode", "tag", "celsius", "counts", "at", "serial", "speed"],
            "formats": ["?", "u1", "S6", "f8", ("i2", (4,)), [("x", "f4"), ("y", "f4")], "u8", ("f4", (2,))],
            "offsets": [0, 1, 2, 8, 16, 24, 32, 40], "itemsize": 48}))
        self.assertEqual(schema.units["speed"], "m/s")
        self.assertEqual(schema.name, "Sample")
        self.assertEqual(len(schema.hash), 64)

    def test_a_dtype_gives_the_text_again(self):
        schema = Schema(SAMPLE)
        self.assertEqual(Schema.from_dtype(schema.dtype), schema)  # name and units are the dtype's metadata
        bare = np.dtype([(name, schema.dtype.fields[name][0]) for name in schema.dtype.names], align=True)
        self.assertEqual(Schema.from_dtype(bare, name="Sample", units=schema.units).text, SAMPLE)
        self.assertEqual(pickle.loads(pickle.dumps(schema)), schema)

    def test_plain_dtypes_need_no_field(self):
        for kind in ("u1", "i8", "f4", "?", ("f8", (3,)), "S12"):
            with self.subTest(kind):
                schema = Schema.from_dtype(kind, units={"value": "V"})
                self.assertEqual(Schema(schema.text).dtype, np.dtype(kind))
                self.assertEqual(schema.units, {"value": "V"})

    def test_padding_and_order_are_kept(self):
        dtype = np.dtype({"names": ["b", "a"], "formats": ["u1", "f8"], "offsets": [8, 0], "itemsize": 24})
        schema = Schema.from_dtype(dtype)
        self.assertEqual([field[0] for field in schema.fields], ["a", "b"])
        self.assertEqual(schema.dtype.itemsize, 24)

    def test_names_that_do_not_nest_keep_their_dots(self):
        text = "pylabhub-schema 1\nrecord R 12\nfield a.x int32 1 0 \nfield b int32 1 4 \nfield a.y int32 1 8 \n"
        self.assertEqual(Schema(text).dtype.names, ("a.x", "b", "a.y"))

    def test_what_cannot_be_described_is_refused_with_the_field(self):
        for kind, words in [
                (">f8", "byte order"), ("O", "Python objects"), ("U4", "'S'"), ("c8", "two fields"),
                ("M8[ns]", "int64"), ("f2", "float16"), ("V5", "uint8"), (([("p", "i4")], (3,)), "array of structs"),
                ("S0", "'S'")]:
            with self.subTest(kind):
                with self.assertRaisesRegex(pylabhub.InvalidArgument, "inner.bad.*" + words):
                    Schema.from_dtype([("inner", [("bad", kind)])])
        with self.assertRaisesRegex(pylabhub.InvalidArgument, "no_such"):
            Schema.from_dtype([("a", "i4")], units={"no_such": "V"})
        with self.assertRaises(pylabhub.InvalidArgument):
            Schema.from_dtype([("with space", "i4")])
        with self.assertRaises(pylabhub.InvalidArgument):
            Schema(SAMPLE + "\n")


if __name__ == "__main__":
    unittest.main()
