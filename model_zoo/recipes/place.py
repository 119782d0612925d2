"""Where a recipe's model goes."""

from __future__ import annotations

from pathlib import Path

ZOO = Path(__file__).resolve().parents[1]


def save(name: str, data: bytes) -> None:
    """Write `model_zoo/<name>/<name>.tflite`."""
    folder = ZOO / name
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.tflite").write_bytes(data)
    print(f"{name}: {len(data)} bytes")
