# Copyright 2026 The aitable authors
# SPDX-License-Identifier: Apache-2.0
"""
Message definitions and their hashes, as they lie in a bag beside the messages.

With them a reader (ros2 bag, Foxglove, rosbags) understands messages of packages that it does not
have.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from aitable_ros.bags.errors import BagError, one_line

MSG = 'ros2msg'
"""Encoding: .msg text; the definitions of nested types follow, each after a separator."""

IDL = 'ros2idl'
"""Encoding: .idl text, likewise."""

NO_HASH = 'INVALID'
"""What ROS writes for a hash that it does not know."""

_SEPARATOR = '=' * 80
_TYPE_NAME = re.compile(r'([A-Za-z]\w*)/msg/([A-Za-z]\w*)')


@dataclass(frozen=True)
class TypeDefinition:
    """
    What a message type is made of.

    :param type_name: as in ``sensor_msgs/msg/Image``.
    :param encoding: :data:`MSG` or :data:`IDL`.
    :param text: its definition and those of all types that it contains.
    :param type_hash: ``RIHS01_...`` (REP-2016), or :data:`NO_HASH`.
    """

    type_name: str
    encoding: str
    text: str
    type_hash: str


def find_definition(type_name: str) -> TypeDefinition | None:
    """
    Give the definition of a message type as this machine knows it.

    The installed package's own text comes first; else, of the common interfaces, what the
    package ``rosbags`` brings.

    :param type_name: as in ``sensor_msgs/msg/Image``.
    :returns: the definition, or None where the type is not known here.
    :raises BagError: when an installed definition cannot be read.
    """
    return _find(type_name, tuple(share_folders()))


def share_folders() -> Sequence[Path]:
    """Return the ``share`` folders in which message packages may be installed, in order."""
    prefixes = [p for p in os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if p]
    return [Path(prefix) / 'share' for prefix in (*prefixes, sys.prefix)]


def make_definition(
    type_name: str, encoding: str, text: str, type_hash: str = ''
) -> TypeDefinition:
    """
    Make a definition out of its text.

    :param type_name: as in ``sensor_msgs/msg/Image``.
    :param encoding: :data:`MSG` or :data:`IDL`.
    :param text: the definition and those of all types that it contains.
    :param type_hash: its hash; computed from the text where not given.
    :raises BagError: when the text is no such definition.
    """
    if not type_hash:
        type_hash = _store_of(type_name, encoding, text).hash_rihs01(type_name)
    return TypeDefinition(type_name, encoding, text, type_hash)


class Canonical:
    """
    Makes serialised messages canonical: equal messages become equal bytes.

    A ROS middleware leaves in the padding between fields whatever was in its memory (seen with
    rmw_fastrtps_cpp 8.4); here it becomes zero.

    :param definition: of the messages' type.
    :raises BagError: when the definition is not whole.
    """

    def __init__(self, definition: TypeDefinition) -> None:
        self._type_name = definition.type_name
        self._store = _store_of(definition.type_name, definition.encoding, definition.text)

    def __call__(self, data: bytes) -> bytes:
        """
        Write a message anew.

        :param data: the serialised message (CDR).
        :raises BagError: when it is damaged.
        """
        try:
            message = self._store.deserialize_cdr(data, self._type_name)
            return bytes(self._store.serialize_cdr(message, self._type_name, little_endian=True))
        except Exception as error:  # its parser raises whatever it trips over
            raise BagError(f'damaged {self._type_name}: {one_line(error)}') from error


@cache
def _find(type_name: str, folders: tuple[Path, ...]) -> TypeDefinition | None:
    texts: dict[str, str] = {}
    if _collect(type_name, folders, texts):
        root = texts.pop(type_name)
        nested = [
            f'{_SEPARATOR}\nMSG: {name.replace("/msg/", "/")}\n{text}'
            for name, text in texts.items()
        ]
        text = '\n'.join((root, *nested))
        return make_definition(type_name, MSG, text)
    store = get_typestore(Stores.LATEST)
    if type_name not in store.fielddefs:
        return None
    text, _ = store.generate_msgdef(type_name, ros_version=2)
    return make_definition(type_name, MSG, text)


def _collect(type_name: str, folders: tuple[Path, ...], texts: dict[str, str]) -> bool:
    """Gather the installed text of a type and of all it contains; False if one is missing."""
    if type_name in texts:
        return True
    name = _TYPE_NAME.fullmatch(type_name)
    if name is None:
        return False
    paths = (folder / name[1] / 'msg' / f'{name[2]}.msg' for folder in folders)
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return False
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise BagError(f'{path} cannot be read: {one_line(error)}') from error
    texts[type_name] = text
    fields = _parse(type_name, MSG, text)[type_name][1]
    return all(_collect(nested, folders, texts) for nested in _nested(fields))


def _nested(fields: Any) -> list[str]:
    """Give the names of the message types among a type's fields, in order."""
    names = []
    for _, description in fields:
        kind, rest = description
        if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
            kind, rest = rest[0]
        if kind == Nodetype.NAME:
            names.append(str(rest))
    return names


def _parse(type_name: str, encoding: str, text: str) -> dict[str, Any]:
    """
    Parse a definition.

    :returns: constants and fields by type name, as ``rosbags`` has them.
    :raises BagError: when it is none of this type.
    """
    try:
        if encoding == MSG:
            types = {
                name: (constants, [(field, _as_in_idl(kind)) for field, kind in fields])
                for name, (constants, fields) in get_types_from_msg(text, type_name).items()
            }
        else:
            types = {}
            parts = text.split(f'{_SEPARATOR}\n')
            for part in parts[1:] or parts:
                body = part.split('\n', 1)[1] if part.startswith('IDL: ') else part
                types.update(get_types_from_idl(body))
    except Exception as error:  # its parser raises whatever it trips over
        raise BagError(f'definition of {type_name} is damaged: {one_line(error)}') from error
    if type_name not in types:
        raise BagError(f'definition of {type_name} is damaged: it defines something else')
    return types


def _as_in_idl(description: Any) -> Any:
    """Make uint8 of a field's char: ROS does so before it computes the hash of a type."""
    kind, rest = description
    if kind in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        return kind, (_as_in_idl(rest[0]), rest[1])
    return description if rest != ('char', 0) else (kind, ('uint8', 0))


def _store_of(type_name: str, encoding: str, text: str) -> Typestore:
    """
    Make what knows a type and all that it contains.

    :raises BagError: when the definition is damaged or not whole.
    """
    store = get_typestore(Stores.EMPTY)
    types = _parse(type_name, encoding, text)
    try:
        store.register(types)
        store.get_msgdef(type_name)
    except Exception as error:  # as above
        raise BagError(f'definition of {type_name} is not whole: {one_line(error)}') from error
    return store
