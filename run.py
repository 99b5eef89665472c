"""Restore a picture: `python run.py task=inpaint net=segnet`; see README.md and `python run.py --help`."""

from dip_lab.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main())
