"""What the process that is forked for every start of a training has imported: nothing that starts a thread."""

from importlib import import_module

from PIL import Image

# What a training imports late; an optimiser imports torch._dynamo at its first step, in seconds.
for name in ("zfcuda.train.__main__", "zfcuda.train.run", "torch._dynamo", "numpy.ma"):
    import_module(name)
Image.init()
