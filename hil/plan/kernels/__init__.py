"""The engine's kernels as the host knows them: records, and a numpy twin of each."""

from hil.plan.kernels.conv import Conv
from hil.plan.kernels.conv_partial import ConvPartial
from hil.plan.kernels.copy import Copy, Fill
from hil.plan.kernels.depthwise import Depthwise
from hil.plan.kernels.elementwise import Add, Mul
from hil.plan.kernels.finish import Finish
from hil.plan.kernels.lookup import Lookup
from hil.plan.kernels.lookup_word import LookupWord
from hil.plan.kernels.mean import Mean
from hil.plan.kernels.pool import PoolAverage, PoolMax
from hil.plan.kernels.quantise import Quantise
from hil.plan.kernels.softmax import LogSoftmax, Softmax
from hil.plan.kernels.softmax_float import LogSoftmaxFloat, SoftmaxFloat
from hil.plan.kernels.transfer import Transfer
from hil.plan.records import registry

KERNELS = registry(
    Add,
    Conv,
    ConvPartial,
    Copy,
    Depthwise,
    Fill,
    Finish,
    LogSoftmax,
    LogSoftmaxFloat,
    Lookup,
    LookupWord,
    Mean,
    Mul,
    PoolAverage,
    PoolMax,
    Quantise,
    Softmax,
    SoftmaxFloat,
    Transfer,
)

__all__ = [
    "KERNELS",
    "Add",
    "Conv",
    "ConvPartial",
    "Copy",
    "Depthwise",
    "Fill",
    "Finish",
    "LogSoftmax",
    "LogSoftmaxFloat",
    "Lookup",
    "LookupWord",
    "Mean",
    "Mul",
    "PoolAverage",
    "PoolMax",
    "Quantise",
    "Softmax",
    "SoftmaxFloat",
    "Transfer",
]
