"""Writes a dictionary as TOML: the other half of the standard library's `tomllib`."""

import json
import re


def dumps(document):
    """TOML text of a dictionary of tables, as `tomllib.loads` would read it back."""
    lines = []
    _table(lines, [], document)
    return "\n".join(lines) + "\n"


def _table(lines, path, table):
    plain = {key: value for key, value in table.items() if not _is_section(value)}
    if path and (plain or not table):
        lines.append(f"\n[{_path(path)}]")
    for key, value in plain.items():
        lines.append(f"{_key(key)} = {_value(value)}")
    for key, value in table.items():
        if isinstance(value, dict) and _is_section(value):
            _table(lines, [*path, key], value)
        elif _is_section(value):
            for row in value:
                lines.append(f"\n[[{_path([*path, key])}]]")
                lines.extend(f"{_key(k)} = {_value(v)}" for k, v in row.items())


def _is_section(value):
    if isinstance(value, dict):
        return True
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _path(path):
    return ".".join(_key(part) for part in path)


def _key(key):
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key)


def _value(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value)
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"no TOML form of {value!r}")
