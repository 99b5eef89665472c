"""Restorers that learn from pictures: how they are trained, kept and used."""
