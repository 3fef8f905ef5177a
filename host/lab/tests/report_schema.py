#!/usr/bin/env python3
"""The JSON schema of report.json, from the declarations and comments of the model.

  report_schema.py write          writes docs/report.schema.json
  report_schema.py check          fails if that file is not what would be written
  report_schema.py validate FILE  validates a report with the jsonschema package
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[3]
SOURCES = ["host/lab/src/bench/model.rs", "host/lab/src/bench/histogram.rs"]
SCHEMA = ROOT / "docs/report.schema.json"

SIMPLE = {
    "String": {"type": "string"},
    "bool": {"type": "boolean"},
    "f64": {"type": "number"},
    "u64": {"type": "integer", "minimum": 0},
    "u32": {"type": "integer", "minimum": 0},
    "usize": {"type": "integer", "minimum": 0},
}


def snake(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def plain(lines):
    """Comments as text: intra-doc links lose their brackets."""
    text = " ".join(line.strip().removeprefix("///").strip() for line in lines)
    return re.sub(r"\[`([^`]*)`\]", r"\1", text).replace("`", "")


def split(text):
    """Parts of a list of types, at commas outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"<": 1, "(": 1, "[": 1, ">": -1, ")": -1, "]": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def kind(text):
    text = text.strip()
    if text in SIMPLE:
        return dict(SIMPLE[text])
    if found := re.fullmatch(r"Option<(.*)>", text):
        return {"anyOf": [kind(found[1]), {"type": "null"}]}
    if found := re.fullmatch(r"Box<(.*)>", text):
        return kind(found[1])
    if found := re.fullmatch(r"Vec<(.*)>", text):
        return {"type": "array", "items": kind(found[1])}
    if found := re.fullmatch(r"\[(.*); (\d+)\]", text):
        return {"type": "array", "items": kind(found[1]), "minItems": int(found[2]), "maxItems": int(found[2])}
    if found := re.fullmatch(r"\((.*)\)", text):
        parts = split(found[1])
        return {"type": "array", "prefixItems": [kind(part) for part in parts], "minItems": len(parts), "maxItems": len(parts)}
    return {"$ref": f"#/$defs/{text}"}


def record(fields):
    """An object from the text between its braces."""
    properties, required, comment, attributes = {}, [], [], ""
    for line in fields.splitlines():
        line = line.strip()
        if line.startswith("///"):
            comment.append(line)
        elif line.startswith("#["):
            attributes += line
        elif found := re.fullmatch(r"(?:pub )?(\w+): (.*),", line):
            schema = kind(found[2])
            schema = {"description": plain(comment), **schema}
            properties[found[1]] = schema
            if "default" not in attributes:
                required.append(found[1])
            comment, attributes = [], ""
    return {"type": "object", "properties": properties, "required": required}


def tagged(tag, body):
    """An enum with a tag: one object per variant."""
    variants = []
    for found in re.finditer(r"((?: *///[^\n]*\n)+) {4}(\w+)(?: \{\n(.*?)\n {4}\})?,", body, re.S):
        schema = record(found[3] or "")
        schema["properties"] = {tag: {"const": snake(found[2])}, **schema["properties"]}
        schema["required"] = [tag, *schema["required"]]
        variants.append({"description": plain(found[1].splitlines()), **schema})
    return {"oneOf": variants}


def definitions():
    found = {}
    pattern = re.compile(r"((?:///[^\n]*\n)*)((?:#\[[^\n]*\]\n)+)pub (struct|enum) (\w+) \{\n(.*?)\n\}", re.S)
    for source in SOURCES:
        for comment, attributes, what, name, body in pattern.findall((ROOT / source).read_text()):
            if "Serialize" not in attributes:
                continue
            if what == "struct":
                schema = record(body)
            elif tag := re.search(r'tag = "(\w+)"', attributes):
                schema = tagged(tag[1], body)
            else:
                variants = re.findall(r"((?:\s*///.*\n)+)\s*(\w+),", body)
                schema = {"oneOf": [{"const": snake(name), "description": plain(text.strip().splitlines())} for text, name in variants]}
            found[name] = {"description": plain(comment.strip().splitlines()), **schema}
    return found


def text():
    found = definitions()
    report = found.pop("Report")
    report["properties"]["schema"]["const"] = int(re.search(r"SCHEMA: u32 = (\d+)", (ROOT / SOURCES[0]).read_text())[1])
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A comparison of collectors, as host bench writes it into report.json",
        "$comment": "Base units everywhere: nanoseconds, bytes, counts. Fields are only ever added; the number in 'schema' rises when the meaning of one changes.",
        **report,
        "$defs": found,
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def check():
    if not SCHEMA.exists() or SCHEMA.read_text() != text():
        sys.exit("docs/report.schema.json is not what the model says: run host/lab/tests/report_schema.py write")


def validate():
    import jsonschema

    document = json.loads(pathlib.Path(sys.argv[2]).read_text())
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    errors = sorted(jsonschema.Draft202012Validator(schema).iter_errors(document), key=lambda error: error.json_path)
    for error in errors[:20]:
        print(f"{error.json_path}: {error.message[:200]}")
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    actions = {"write": lambda: SCHEMA.write_text(text()), "check": check, "validate": validate}
    actions.get(sys.argv[1] if len(sys.argv) > 1 else "", lambda: sys.exit(__doc__))()
