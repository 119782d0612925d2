"""MobileNetV2 as published, for 224 x 224 pictures. `python -m model_zoo.recipes.mobilenetv2_100_224 FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from model_zoo.recipes.mobilenetv2 import mobilenetv2

if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(mobilenetv2("mobilenetv2_100_224", 18, width=1.0, size=224, classes=1000, pictures=2))
