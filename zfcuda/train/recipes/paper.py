"""The training of Zeiler & Fergus, section 3, with its constants."""

from zfcuda.train.recipes.recipe import Recipe

RECIPE = Recipe(
    "paper",
    "Zeiler & Fergus, section 3: SGD, ten sub-crops, the mean of each pixel subtracted, filters renormalised",
    {
        "width": 1.0,
        "epochs": 70,
        "batch": 128,
        "rate": 0.01,
        "optimizer": "sgd",
        "momentum": 0.9,
        "weight_decay": 0.0,  # the paper names none
        "schedule": "plateau",  # "anneal the learning rate throughout training manually when the validation error
        "factor": 0.1,  # plateaus": by hand through the file `cut`, or where it has not fallen for these epochs
        "patience": 5,
        "warm_up": 0,
        "clip": 0.0,
        "dropout": 0.5,
        "label_smoothing": 0.0,
        "ema": 0.0,
        "filter_rms": 0.1,
        "init": "normal",
        "initial": 0.01,
        "short_side": 256,
        "size": 224,
        "crops": "ten",
        "smallest": 1.0,
        "colour": 0.0,
        "mean": "pixel",
        "views": 10,
        "close_ups": 0,
        "precision": "float32",
        "snapshots": (1, 2, 5, 10, 20, 30, 40, 64),  # figure 4
    },
)
