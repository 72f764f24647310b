"""What holds of networks that others wrote: torchvision's and timm's, and zfcuda.models' own beside them."""
