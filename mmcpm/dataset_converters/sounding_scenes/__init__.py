"""Procedural scenes in which some of the visible objects sound.

Start at :mod:`.scene`, which makes a clip; :mod:`.writer` puts clips on disk.
"""
