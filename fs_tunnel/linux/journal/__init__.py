"""Journals: commands write down each change to the host before they make it."""
