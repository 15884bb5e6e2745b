"""Writes mnist-4x4.npz: the first 1,000 training digits of MNIST at 4x4 pixels of 4 gray levels, four to a
byte.

    python -m tests.data.make_mnist_4x4 [FOLDER THAT HOLDS MNIST]

MNIST is by Yann LeCun, Corinna Cortes and Christopher Burges (CC BY-SA 3.0); torchvision downloads it.
"""

import sys
from pathlib import Path

import numpy as np

from core.data import load_mnist, resize
from core.tokenizers import PixelTokenizer

if __name__ == "__main__":
    images, labels = load_mnist(True, sys.argv[1] if len(sys.argv) > 1 else None)
    tokens = PixelTokenizer(4, 4).encode(resize(images[:1000], 4)).numpy().reshape(1000, 4, 4)
    packed = (tokens << np.array([0, 2, 4, 6])).sum(2).astype(np.uint8)
    path = Path(__file__).with_name("mnist-4x4.npz")
    np.savez_compressed(path, packed=packed, labels=labels[:1000].numpy().astype(np.uint8))
    print(f"{path}: {path.stat().st_size} bytes")
