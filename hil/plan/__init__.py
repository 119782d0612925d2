"""Plans: boxes, memory, program bytes, and a numpy interpreter that proves them. No compiler and no hardware here."""

from hil.plan.interpreter import Interpreter
from hil.plan.planner import Footprint, Layer, Plan, Tightest, plan
from hil.plan.program import Program, Span, Step

__all__ = ["Footprint", "Interpreter", "Layer", "Plan", "Program", "Span", "Step", "Tightest", "plan"]
