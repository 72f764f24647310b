"""How a picture is seen while training: by chance, and another way in every epoch."""

from zfcuda.train.views.close_ups import CloseUps
from zfcuda.train.views.resized_crops import ResizedCrops
from zfcuda.train.views.ten_crops import TenCrops
from zfcuda.train.views.view import Cropped, View

__all__ = ["CloseUps", "Cropped", "ResizedCrops", "TenCrops", "View"]
