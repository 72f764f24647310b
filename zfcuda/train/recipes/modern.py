"""What has been found since: the recipe that is taken where none is named."""

from zfcuda.train.recipes.recipe import Recipe

RECIPE = Recipe(
    "modern",
    "He's initial weights, random resized crops, AdamW along a cosine, label smoothing, an average of the weights",
    {
        "width": 1.0,
        "epochs": 90,
        "batch": 64,
        "rate": 1e-3,
        "optimizer": "adamw",
        "momentum": 0.9,
        "weight_decay": 0.05,
        "schedule": "cosine",
        "factor": 0.1,
        "patience": 5,
        "warm_up": 100,
        "clip": 2.0,
        "dropout": 0.5,
        "label_smoothing": 0.1,
        "ema": 0.99,
        "filter_rms": 0.0,
        "init": "he",
        "initial": 0.01,
        "short_side": 256,
        "size": 224,
        "crops": "resized",
        "smallest": 0.35,
        "colour": 0.3,
        "mean": "channel",
        "views": 1,
        "close_ups": 0,
        "precision": "auto",
        "snapshots": (),
    },
)
