"""The model zoo: metafiles and tables, from configs, papers and records."""

from .pages import write_zoo

__all__ = ['write_zoo']
