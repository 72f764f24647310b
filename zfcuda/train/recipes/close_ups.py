"""How the network in the package learned Parts: closely first, whole pictures then."""

from zfcuda.train.recipes.modern import RECIPE as MODERN
from zfcuda.train.recipes.recipe import Recipe

RECIPE = Recipe(
    "close_ups",
    "for Parts: five epochs on close-ups of the defining part, nine on whole pictures",
    {
        **MODERN.defaults,
        "epochs": 14,
        "close_ups": 5,
        "rate": 7e-4,
        "weight_decay": 0.01,
        "dropout": 0.3,
        "label_smoothing": 0.0,
        "ema": 0.0,
        "short_side": 224,
        "crops": "close_ups",
        "mean": "channel",
        "precision": "float32",
    },
)
