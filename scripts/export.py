"""The best weights of a training as one small file, in half precision, without the state of the training:

    python scripts/export.py outputs/train/<run> denoiser.pt
    python run.py baseline=trained baseline.checkpoint=denoiser.pt data=file data.path=photo.jpg
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout's dip_lab

import torch  # noqa: E402

from dip_lab.checks import one_line  # noqa: E402
from dip_lab.mistakes import MISTAKES  # noqa: E402
from dip_lab.training.checkpoint import load, save  # noqa: E402
from dip_lab.utf8 import use_utf8  # noqa: E402


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="the folder of a training, or one of its checkpoints")
    parser.add_argument("file", type=Path)
    args = parser.parse_args(arguments)
    trained = load(args.run)
    save(args.file, trained.card, trained.restorer, torch.float16)
    print(f"{args.file.stat().st_size / 1000:.0f} kB, sha256 {load(str(args.file)).sha256}")


if __name__ == "__main__":
    use_utf8()
    try:
        main(sys.argv[1:])
    except MISTAKES as error:
        print(one_line(error), file=sys.stderr)
        sys.exit(2)
