"""Weights that come with dip_lab: see README.md here."""
