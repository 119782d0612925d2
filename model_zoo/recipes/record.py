"""Writes the sha256 of every model of the zoo into its `model.toml`, after recipes have made it anew."""

from __future__ import annotations

import hashlib
import re

from model_zoo.recipes.place import ZOO


def main() -> None:
    for entry in sorted(ZOO.glob("*/model.toml")):
        model = entry.parent / f"{entry.parent.name}.tflite"
        if not model.is_file():  # what is built on first use is pinned by hand
            continue
        found = hashlib.sha256(model.read_bytes()).hexdigest()
        before = entry.read_text()
        after = re.sub(r'(?m)^sha256 = ".*"$', f'sha256 = "{found}"', before)
        if after != before:
            entry.write_text(after)
            print(f"{entry.parent.name}: {found}")


if __name__ == "__main__":
    main()
