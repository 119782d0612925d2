"""The writer of `.tflite` files, which lies with the zoo's recipes: some of these run where no tests are installed."""

from model_zoo.recipes.tflite_writer import OPERATORS, ModelWriter

__all__ = ["OPERATORS", "ModelWriter"]
