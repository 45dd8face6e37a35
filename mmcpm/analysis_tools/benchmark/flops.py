"""Parameters and multiply-adds, for a frame and its sound."""

import contextlib
import io
import json
import logging
import math
from argparse import Namespace

import torch
import torch.nn as nn
from mmengine.analysis import FlopAnalyzer
from mmengine.registry import init_default_scope
from mmseg.models.decode_heads import Mask2FormerHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmcpm.apis.config_checks import fill_num_classes, require
from mmcpm.apis.options import DATALOADERS
from mmcpm.apis.train_and_test import read_config
from mmcpm.models.segmentors import AVEncoderDecoder
from mmcpm.utils.config_types import type_name
from mmcpm.utils.io import write_whole

from .peers import prepare, stock_model

ATTENTION = 'aten::scaled_dot_product_attention'


def attention_flops(inputs: list, outputs: list) -> int:
    """Multiply-adds of fused attention: two products.

    Args:
        inputs (list): Traced values; query ``[B, heads, N, D]``, key
            ``[B, heads, M, D]``.
        outputs (list): Not used.
    """
    query, key = (value.type().sizes() for value in inputs[:2])
    return 2 * math.prod(query) * key[-2]


class _Forward(nn.Module):
    """A segmentor's raw predictions for a batch of images and silence."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: torch.Tensor):
        head = self.model.decode_head
        if isinstance(self.model, AVEncoderDecoder) or not isinstance(
            head, Mask2FormerHead
        ):
            return self.model(inputs, mode='tensor')
        # mmseg's does not hand on what its Mask2Former head asks for.
        return head(self.model.extract_feat(inputs), [SegDataSample()])


def run(args: Namespace) -> dict:
    """Count as told by the arguments of tools/analysis_tools/get_flops.py.

    Returns:
        dict: ``multiply_adds`` and ``parameters`` of the whole and of parts,
        ``not_counted`` (operator to calls).
    """
    cfg = read_config(args.config)
    require(cfg, ('model',))
    fill_num_classes(cfg, DATALOADERS)
    init_default_scope(cfg.get('default_scope') or 'mmseg')
    size = tuple(args.size)
    model_cfg = prepare(cfg, size, 'cpu')
    if args.stock:
        model_cfg = stock_model(model_cfg)
    model = MODELS.build(model_cfg).eval()
    report = {
        'config': args.config,
        'model': type_name(model_cfg, MODELS),
        'size': list(size),
        **count(model, size),
    }
    if args.out is not None:
        text = json.dumps(report, indent=1)
        write_whole(args.out, f'{text}\n'.encode())
    return report


def count(model: nn.Module, size: tuple[int, int]) -> dict:
    """Trace a segmentor with one image, and sound where it hears."""
    analyzer = FlopAnalyzer(_Forward(model), (torch.zeros(1, 3, *size),))
    analyzer.set_op_handle(ATTENTION, attention_flops)
    analyzer.unsupported_ops_warnings(False)
    analyzer.uncalled_modules_warnings(False)
    # The tracer prints about every shape that it takes for a constant.
    silenced = logging.getLogger('mmengine')
    level = silenced.level
    silenced.setLevel(logging.ERROR)
    try:
        with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
            by_module = analyzer.by_module()
            missing = analyzer.unsupported_ops()
    finally:
        silenced.setLevel(level)
    parts = {}
    for name, child in _parts(model).items():
        parts[name] = {
            'multiply_adds': int(by_module.get(f'model.{name}', 0)),
            'parameters': sum(p.numel() for p in child.parameters()),
        }
    return {
        'multiply_adds': int(by_module['']),
        'parameters': sum(p.numel() for p in model.parameters()),
        'parts': parts,
        'not_counted': dict(sorted(missing.items())),
    }


def _parts(model: nn.Module) -> dict[str, nn.Module]:
    """Children of the segmentor and of its decode head."""
    parts = {}
    for name, child in model.named_children():
        if name == 'decode_head':
            for inner, part in child.named_children():
                parts[f'{name}.{inner}'] = part
        else:
            parts[name] = child
    return {
        name: part
        for name, part in parts.items()
        if any(True for _ in part.parameters())
    }


def format_report(report: dict) -> str:
    """Put a report in some lines for a reader."""
    lines = [
        f'{report["config"]} ({report["model"]}), one frame of '
        f'{report["size"][0]} x {report["size"][1]}: '
        f'{report["multiply_adds"] / 1e9:.2f} G multiply-adds, '
        f'{report["parameters"] / 1e6:.2f} M parameters'
    ]
    for name, part in report['parts'].items():
        lines.append(
            f'    {name:36} {part["multiply_adds"] / 1e9:9.3f} G '
            f'{part["parameters"] / 1e6:9.3f} M'
        )
    missing = ', '.join(f'{k} ({v})' for k, v in report['not_counted'].items())
    lines.append(f'not counted: {missing or "nothing"}')
    return '\n'.join(lines)
