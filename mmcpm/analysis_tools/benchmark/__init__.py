"""Benchmarks of training, inference and data loading.

Everything is compared with a peer in the same run, in turns: a ratio of two
runs of different moments tells about the machine. See
``tools/analysis_tools/benchmark.py``.
"""
