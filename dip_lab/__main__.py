"""`python -m dip_lab task=inpaint net=segnet` is `python run.py task=inpaint net=segnet`."""

from dip_lab.ctrl_c import quiet

quiet()

from dip_lab.cli import main  # noqa: E402

if __name__ == "__main__":
    raise SystemExit(main())
