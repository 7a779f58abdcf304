"""Schemas of channels, and the numpy dtypes that stand for them."""

import numpy as np

from pylabhub import _pylabhub
from pylabhub.errors import InvalidArgument

__all__ = ["Schema"]

_TYPE_OF_DTYPE = {
    "b1": "bool",
    "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64",
    "u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64",
    "f4": "float32", "f8": "float64",
}
_DTYPE_OF_TYPE = {name: dtype for dtype, name in _TYPE_OF_DTYPE.items()}
_ADVICE = {
    "O": "Python objects have no place in shared memory; use numbers, arrays of a fixed size, or 'S20' for text",
    "U": "use 'S' and as many bytes as the text may take as UTF-8",
    "M": "use int64 and the unit 'ns'",
    "m": "use int64 and the unit 'ns'",
    "c": "use two fields, or an array of two",
    "V": "use an array of uint8",
}


class Schema:
    """What the bytes of a slot mean: a record of named, typed fields, repeated as often as the slot has room.

    A schema stands for a numpy dtype, with units beside it. Nested structs, arrays of numbers and text of a fixed size are
    described; Python objects, big-endian numbers, unicode, complex and arrays of structs are refused.
    """

    __slots__ = ("_dtype", "_text", "_units")

    def __init__(self, text, dtype=None):
        """Reads a canonical text (docs/schema.md). ``dtype`` is what arrays shall have, if not what the text says."""
        name, record_bytes, fields = _pylabhub.parse_schema(text)
        self._text = text
        self._units = {field: unit for field, _, _, _, unit in fields if unit}
        if dtype is None:
            dtype = _dtype_of(name, record_bytes, fields)
        self._dtype = _with_metadata(dtype, name, self._units)

    @classmethod
    def opaque(cls):
        """Bytes without a meaning of their own: arrays are of uint8."""
        return cls(_pylabhub.opaque_schema())

    @classmethod
    def from_dtype(cls, dtype, *, name=None, units=None):
        """Describes ``dtype``; ``units`` maps names of fields (``"at.x"`` for a nested one) to units, such as ``"m/s"``.

        ``name`` is the record's; by default ``"Record"``, or what an earlier schema left in the dtype's metadata, and for a
        dtype without fields the type's (its unit is ``units["value"]``). Raises InvalidArgument for what cannot be described.
        """
        dtype = np.dtype(dtype)
        metadata = dtype.metadata or {}
        units = dict(metadata.get("pylabhub_units", {}) if units is None else units)
        fields = []
        if dtype.names is None:
            _append_field(fields, "value", dtype, 0)
            name = fields[0][1]
        else:
            _append_struct(fields, "", dtype, 0)
            name = name or metadata.get("pylabhub_record") or "Record"
        unknown = set(units) - {field for field, _, _, _ in fields}
        if unknown:
            raise InvalidArgument(f"units name fields that the dtype does not have: {', '.join(sorted(unknown))}")
        fields.sort(key=lambda field: field[3])
        described = [(*field, units.get(field[0], "")) for field in fields]
        return cls(_pylabhub.canonical_schema(name, dtype.itemsize, described), dtype)

    @property
    def text(self):
        """The canonical text."""
        return self._text

    @property
    def name(self):
        """The record's name."""
        return _pylabhub.parse_schema(self._text)[0]

    @property
    def dtype(self):
        """The dtype of one record."""
        return self._dtype

    @property
    def units(self):
        """Units by the name of their field."""
        return dict(self._units)

    @property
    def fields(self):
        """``(name, type, count, offset_bytes, unit)`` of each field, in the order of their offsets."""
        return _pylabhub.parse_schema(self._text)[2]

    @property
    def hash(self):
        """The SHA-256 of the text, by which schemas are compared."""
        return _pylabhub.schema_hash(self._text)

    @property
    def is_opaque(self):
        """Whether the bytes have no meaning of their own."""
        return _pylabhub.parse_schema(self._text)[1] == 0

    def __eq__(self, other):
        return self._text == other._text if isinstance(other, Schema) else NotImplemented

    def __hash__(self):
        return hash(self._text)

    def __repr__(self):
        return f"<Schema {self.name} {self.hash[:8]}>"

    def __reduce__(self):
        return Schema, (self._text, self._dtype)


def schema_of(kind, *, name=None, units=None):
    """The schema that ``kind`` stands for: a Schema, something that numpy takes for a dtype, or None (opaque)."""
    if isinstance(kind, Schema):
        if units is not None or name is not None:
            raise InvalidArgument("a Schema has its units and its name already; leave units and record out")
        return kind
    if kind is None:
        if units is not None:
            raise InvalidArgument("plain bytes have no units; say a dtype")
        return Schema.opaque()
    return Schema.from_dtype(kind, name=name, units=units)


def _append_struct(fields, prefix, dtype, offset):
    for name in dtype.names:
        field, field_offset = dtype.fields[name][:2]
        if field.names is None:
            _append_field(fields, prefix + name, field, offset + field_offset)
        else:
            _append_struct(fields, f"{prefix}{name}.", field, offset + field_offset)


def _append_field(fields, name, dtype, offset):
    element, shape = dtype.subdtype or (dtype, ())
    count = int(np.prod(shape, dtype=int))
    if element.names is not None:
        raise InvalidArgument(f"field '{name}': an array of structs cannot be described; make its members arrays")
    if element.kind == "S" and not shape and element.itemsize > 0:
        fields.append((name, "char", element.itemsize, offset))
        return
    if not element.isnative:
        raise InvalidArgument(f"field '{name}': {element.str} is in the other byte order; "
                              f"use {element.newbyteorder('=').str}")
    described = _TYPE_OF_DTYPE.get(element.str[1:])
    if described is None:
        advice = _ADVICE.get(element.kind, "use bool, int8 to int64, uint8 to uint64, float32, float64 or 'S'")
        raise InvalidArgument(f"field '{name}': {element} cannot be described; {advice}")
    fields.append((name, described, count, offset))


def _element_dtype(field_type, count):
    if field_type == "char":
        return np.dtype(f"S{count}")
    dtype = np.dtype(_DTYPE_OF_TYPE[field_type])
    return dtype if count == 1 else np.dtype((dtype, (count,)))


def _dtype_of(name, record_bytes, fields):
    if record_bytes == 0:
        return np.dtype(np.uint8)
    if len(fields) == 1:
        field, field_type, count, _, _ = fields[0]
        dtype = _element_dtype(field_type, count)
        if field == "value" and name == field_type and dtype.itemsize == record_bytes:
            return dtype
    return _struct_of([(field.split("."), _element_dtype(kind, count), offset)
                       for field, kind, count, offset, _ in fields], 0, record_bytes)


def _struct_of(members, base, record_bytes):
    """A struct of ``members``, (path, dtype, offset from the record) each; those of one first name become a nested one."""
    groups = {}
    for path, dtype, offset in members:
        groups.setdefault(path[0], []).append((path[1:], dtype, offset))
    names, formats, offsets = [], [], []
    for name, group in groups.items():
        begin = group[0][2]
        end = max(offset + dtype.itemsize for _, dtype, offset in group)
        if len(group) == 1 and not group[0][0]:
            nested = group[0][1]
        elif all(path for path, _, _ in group):
            nested = _struct_of(group, begin, end - begin)
        else:
            nested = None
        others = [member for member in members if member[0][0] != name and begin <= member[2] < end]
        if nested is None or others:
            return _flat_struct(members, base, record_bytes)
        names.append(name)
        formats.append(nested)
        offsets.append(begin - base)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": record_bytes})


def _flat_struct(members, base, record_bytes):
    """Members whose names do not nest as their offsets do keep their dots."""
    return np.dtype({
        "names": [".".join(path) for path, _, _ in members],
        "formats": [dtype for _, dtype, _ in members],
        "offsets": [offset - base for _, _, offset in members],
        "itemsize": record_bytes,
    })


def _with_metadata(dtype, name, units):
    if dtype.names is None:
        return dtype
    return np.dtype(dtype, metadata={"pylabhub_record": name, "pylabhub_units": units})
