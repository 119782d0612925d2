"""MobileNetV2, full width, for 96 x 96 pictures, 1000 classes. `python -m model_zoo.recipes.mobilenetv2_100 FILE`."""

from __future__ import annotations

import sys
from pathlib import Path

from model_zoo.recipes.mobilenetv2 import mobilenetv2

if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(mobilenetv2("mobilenetv2_100", 17, width=1.0, size=96, classes=1000))
