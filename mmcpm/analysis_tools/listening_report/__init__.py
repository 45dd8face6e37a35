"""How much a model's masks depend on its sound; see listening_report.py."""
