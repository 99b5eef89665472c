"""Classical methods to compare with: no network, no fit; functions Problem -> image."""
