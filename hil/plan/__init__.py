"""Plans: boxes, memory, program bytes, and a numpy interpreter that proves them. No compiler and no hardware here."""

from hil.plan.interpreter import Interpreter
from hil.plan.planner import Footprint, Layer, Part, Plan, Tightest, plan
from hil.plan.program import Barrier, Program, Receive, Send, Span, Step

__all__ = [
    "Barrier",
    "Footprint",
    "Interpreter",
    "Layer",
    "Part",
    "Plan",
    "Program",
    "Receive",
    "Send",
    "Span",
    "Step",
    "Tightest",
    "plan",
]
