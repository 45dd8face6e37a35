"""Scores of stored masks under every protocol; see score_masks.py."""
