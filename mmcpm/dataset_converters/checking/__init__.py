"""Checking and preparing copies of the real datasets."""
