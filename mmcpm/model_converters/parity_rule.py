"""Weights and inputs by rule, for parity checks that need no weight file.

The numbers come from NumPy's frozen generator ``RandomState``, seeded by the
key of a weight or by a number, and so are the same everywhere.
:func:`parse_input` reads the descriptions of inputs that reference files hold,
such as ``rule.image(101, (5, 3, 224, 224))``, without evaluating code.
"""

import ast
import operator
import re
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from mmcpm.utils.errors import UsageError


def weight(key: str, shape: Sequence[int]) -> np.ndarray:
    """Make the value of a weight.

    Args:
        key (str): Key in the published file, without prefix.
        shape (Sequence[int]): Its shape.

    Returns:
        np.ndarray: int64 zeros for counters; else float32: matrices and
        kernels of unit gain, norms around 1, and others of deviation 0.1.
    """
    shape = tuple(shape)
    end = key.split('.')[-1]
    if end == 'num_batches_tracked':
        return np.zeros(shape, np.int64)
    seed = zlib.crc32(key.encode()) & 0x7FFFFFFF
    normal = np.random.RandomState(seed).standard_normal(shape)
    normal = np.asarray(normal).astype(np.float32)
    is_weight = end.endswith('weight')
    if end == 'running_var':
        value = 1 + 0.1 * np.abs(normal)
    elif end == 'running_mean':
        value = 0.1 * normal
    elif is_weight and len(shape) > 1:
        value = normal / np.sqrt(np.float32(np.prod(shape[1:])))
    elif end == 'weight' and len(shape) == 1:
        value = 1 + 0.1 * normal
    else:
        value = 0.1 * normal
    return np.asarray(value, np.float32)


def image(seed: int, shape: Sequence[int]) -> np.ndarray:
    """Make normalized images, or any other normal numbers.

    Args:
        seed (int): Seed of the generator.
        shape (Sequence[int]): Shape.

    Returns:
        np.ndarray: Standard normal, float32.
    """
    normal = np.random.RandomState(seed).standard_normal(tuple(shape))
    return normal.astype(np.float32)


def image_u8(seed: int, shape: Sequence[int]) -> np.ndarray:
    """Make raw images.

    Args:
        seed (int): Seed of the generator.
        shape (Sequence[int]): Shape.

    Returns:
        np.ndarray: Uniform in 0..255, uint8.
    """
    values = np.random.RandomState(seed).randint(0, 256, tuple(shape))
    return values.astype(np.uint8)


# Patches of a spectrogram are normalized as images are.
audio = image


def wave(seed: int, samples: int) -> np.ndarray:
    """Make a waveform at 16 kHz: noise and three rising tones.

    Args:
        seed (int): Seed of the noise.
        samples (int): Length.

    Returns:
        np.ndarray: Values in [-1, 1], float64.
    """
    time = np.arange(samples) / 16000.0
    value = 0.05 * np.random.RandomState(seed).standard_normal(samples)
    for frequency, height in ((220.0, 0.2), (1000.0, 0.1), (3100.0, 0.05)):
        phase = 2 * np.pi * frequency * time * (1 + 0.1 * time)
        value = value + height * np.sin(phase)
    return np.clip(value, -1, 1)


FUNCTIONS = {
    'rule.image': image,
    'rule.image_u8': image_u8,
    'rule.audio': audio,
    'rule.wave': wave,
    **{
        f'{module}{name}': getattr(np, name)
        for module in ('', 'np.', 'numpy.', 'torch.')
        for name in ('ones', 'zeros')
    },
    **dict.fromkeys(('np.concatenate', 'torch.cat'), np.concatenate),
    **dict.fromkeys(('np.array', 'np.asarray', 'torch.tensor'), np.asarray),
}
# Methods and arguments that change no value here: types follow the model.
NO_METHODS = ('astype', 'bool', 'float', 'int', 'long', 'numpy')
NO_ARGUMENTS = ('device', 'dtype')
# Prose behind an expression, such as ' (five of ten frames)'.
REMARK = re.compile(r'\s+\([^()]*[a-z]{2}[^()]*\)\s*$')
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def parse_input(description: Any) -> Any:
    """Make an input from its description.

    Args:
        description (Any): Text such as ``rule.audio(201, (5, 1, 96, 64))``,
            ``[1] * 5 + [0] * 5`` or a sum and product of such, with or
            without a remark in brackets; what is no text is taken as it is.

    Returns:
        Any: An array, numbers, or None.

    Raises:
        UsageError: If the text is anything else.
    """
    if not isinstance(description, str):
        return description
    try:
        text = REMARK.sub('', description.strip())
        return _evaluate(ast.parse(text, mode='eval').body)
    except (SyntaxError, TypeError, ValueError, LookupError) as error:
        raise UsageError(
            f'the input {description!r} cannot be made: {error}. Known are '
            f'numbers, lists and {", ".join(FUNCTIONS)}'
        ) from error


def _evaluate(node: ast.AST) -> Any:
    """Evaluate what :func:`parse_input` allows; refuse everything else."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        values = [_evaluate(item) for item in node.elts]
        return tuple(values) if isinstance(node, ast.Tuple) else values
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        left, right = _evaluate(node.left), _evaluate(node.right)
        return OPERATORS[type(node.op)](left, right)
    if isinstance(node, ast.Subscript):
        return _evaluate(node.value)[_evaluate(node.slice)]
    if isinstance(node, ast.Slice):
        ends = (node.lower, node.upper, node.step)
        return slice(*(end and _evaluate(end) for end in ends))
    if isinstance(node, ast.Call) and all(
        keyword.arg in NO_ARGUMENTS for keyword in node.keywords
    ):
        return _call(node)
    raise ValueError(f'{ast.unparse(node)} is not allowed')


def _call(node: ast.Call) -> Any:
    """Call one of the known functions, or reshape."""
    function = node.func
    name = ast.unparse(function)
    if name not in FUNCTIONS and isinstance(function, ast.Attribute):
        if function.attr in NO_METHODS:
            return _evaluate(function.value)
        if function.attr in ('reshape', 'view'):
            sizes = [_evaluate(item) for item in node.args]
            return np.reshape(
                _evaluate(function.value),
                sizes[0] if len(sizes) == 1 else sizes,
            )
    if name in FUNCTIONS:
        return FUNCTIONS[name](*(_evaluate(item) for item in node.args))
    raise ValueError(f'{name} is not known')
