"""What the process that is forked for every start of a training has imported: nothing that starts a thread."""

from importlib import import_module

# An optimiser imports the second at its first step, in seconds.
for name in ("zfcuda.train.__main__", "torch._dynamo", "zfcuda.train.loop", "PIL.PngImagePlugin"):
    import_module(name)
