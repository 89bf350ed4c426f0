"""Presets: sets of parameters that belong together, for ``--preset NAME``.

A preset is what ``--set`` would be told, by ``stage.name``; the TOML file and ``--set`` win
over it.
"""

from collections.abc import Mapping
from types import MappingProxyType

from lungseg.core.stage import Scalar

Values = Mapping[str, Scalar]

# Tests and the demo: a handful of scans, two cores, no GPU, under a minute.
SMALL: Values = {
    "train.network": "unet",
    # 8 filters and 4 levels see 88 mm around a pixel: enough for a nodule and its vessels.
    "train.base_width": 8,
    "train.depth": 4,
    # Squares around nodules and elsewhere in the lungs: 7 % of the pixels of whole slices, and
    # nodules are no longer one pixel in five thousand. Smaller ones show too little of the wall
    # and the hilum, which the net then takes for nodules.
    "train.crop_px": 96,
    "train.batch_size": 16,
    "train.epochs": 7,
    "train.slices_per_epoch": 640,
    "train.loss": "gdl_wce",
    "train.learning_rate": 5e-3,
    # 40 steps an epoch are too few for a running mean that keeps 99 % each step.
    "train.norm_momentum": 0.9,
    # Whole slices of one patient take as long as two epochs of squares.
    "train.validate_every": 7,
    "train.workers": 1,
    # Of eight patients one is no test.
    "split-patients.validation_share": 0.17,
    "split-patients.test_share": 0.34,
}

# The nodule net on two cores, first step: nodules of LIDC-IDRI in windows, half an hour. The
# squares are small, so that 60,000 are seen; what is no nodule is learnt in the second step.
LIDC_CPU: Values = {
    "train.network": "unet",
    "train.base_width": 24,
    # The fifth level sees 140 mm around a pixel: wall, hilum and diaphragm tell where it is.
    "train.depth": 5,
    "train.dropout": 0.1,
    "train.norm_momentum": 0.97,
    # Two slices on each side: a nodule ends within them, a vessel continues.
    "train.context": 2,
    "train.hu_low": -1000.0,
    "train.hu_high": 400.0,
    "train.crop_px": 64,
    # Nodules of at least two readers; each voxel as sure as its readers were of it.
    "train.min_readers": 2,
    "train.soft_targets": True,
    "train.loss": "soft_dice_bce",
    # The mean over pixels of which one in a hundred is nodule: more, or false alarms cost nothing.
    "train.bce_weight": 5.0,
    # Each nodule five times an epoch, however many slices show it.
    "train.balance": "nodules",
    "train.epochs": 12,
    "train.slices_per_epoch": 5008,
    # All but a few rows of windows show a nodule.
    "train.negatives_per_positive": 0.05,
    "train.hard_share": 0.6,
    "train.batch_size": 16,
    "train.optimizer": "adamw",
    "train.learning_rate": 2e-3,
    "train.weight_decay": 1e-4,
    "train.schedule": "cosine",
    "train.warmup_epochs": 1.0,
    "train.validate_every": 4,
    "train.validate_step": 8,
    # 1.6 times faster on a processor with AMX, and slower on one without.
    "train.mixed_precision": "bfloat16",
    # Crops are jittered when they are placed, so that they need no shift.
    "train.shift_px": 0.0,
    "train.rotate_degrees": 0.0,
    "train.quarter_turns": 0.75,
    "train.flip_x": 0.5,
    "train.flip_y": 0.5,
    "train.zoom": 0.15,
    # 28 HU, and the sharpness of other reconstruction kernels.
    "train.brightness": 0.02,
    "train.contrast": 0.05,
    "train.noise": 0.015,
    "train.sharpness": 0.5,
    # Windows end where their nodule does, scans do not.
    "train.context_dropout": 0.2,
    "train.workers": 1,
}

# Second step (train.start_from): whole scans beside the windows, and every second crop without a
# nodule, most of them where the net was wrong.
LIDC_CPU_SCANS: Values = {
    **LIDC_CPU,
    "train.crop_px": 96,
    "train.epochs": 4,
    "train.slices_per_epoch": 2400,
    "train.negatives_per_positive": 1.0,
    "train.mine_every": 2,
    "train.mine_step": 5,
    "train.learning_rate": 1e-3,
    "train.warmup_epochs": 0.2,
}

# A core makes a square in 4 ms, a GPU learns from one in less than 1 ms.
ON_A_GPU: Values = {
    "train.mixed_precision": "auto",
    "train.workers": 7,
    "train.worker_processes": True,
}

# The same two steps on a GPU, which made the net that is shipped: three times as many squares in
# the first, seven times in the second. A training step takes a GPU as long with 32 squares as with
# 128, so that batches are large, and the learning rate is higher.
LIDC_GPU: Values = {
    **LIDC_CPU,
    **ON_A_GPU,
    "train.slices_per_epoch": 16000,
    "train.batch_size": 128,
    "train.learning_rate": 3e-3,
    "train.validate_every": 12,
}

LIDC_GPU_SCANS: Values = {
    **LIDC_CPU_SCANS,
    **ON_A_GPU,
    "train.epochs": 9,
    "train.slices_per_epoch": 7777,
    "train.mine_every": 3,
    "train.mine_step": 8,
    "train.batch_size": 64,
    "train.learning_rate": 1.5e-3,
    "train.validate_every": 9,
}

# The thesis's net on LIDC-IDRI whole: 1,018 scans and a GPU.
LIDC: Values = {
    # Ghofrani Majelan's net (docs/sources.md).
    "train.network": "nasnet_gcn_se",
    "train.context": 2,
    "train.hu_low": -1000.0,
    "train.hu_high": 400.0,
    "train.crop_px": 128,
    "train.min_readers": 2,
    "train.soft_targets": True,
    "train.loss": "soft_dice_bce",
    "train.bce_weight": 5.0,
    "train.balance": "nodules",
    # Some 1,600 nodules in the training part, five times each an epoch, and as many crops of what
    # nobody marked, half of them where the net was wrong.
    "train.slices_per_epoch": 16000,
    "train.negatives_per_positive": 1.0,
    "train.mine_every": 10,
    "train.mine_step": 8,
    "train.hard_share": 0.5,
    "train.batch_size": 32,
    "train.epochs": 60,
    "train.optimizer": "adamw",
    "train.learning_rate": 1e-3,
    "train.weight_decay": 1e-4,
    "train.schedule": "cosine",
    "train.warmup_epochs": 2.0,
    "train.validate_every": 2,
    "train.validate_step": 8,
    # On a recent GPU bfloat16: float32's range, no loss scaling; the loss's sums are float32.
    "train.mixed_precision": "auto",
    "train.shift_px": 0.0,
    "train.quarter_turns": 0.75,
    "train.flip_x": 0.5,
    "train.flip_y": 0.5,
    "train.rotate_degrees": 15.0,
    "train.zoom": 0.15,
    "train.brightness": 0.02,
    "train.contrast": 0.05,
    "train.noise": 0.015,
    "train.sharpness": 0.5,
    "train.context_dropout": 0.1,
    "train.workers": 8,
    "predict.batch_size": 32,
}

# Lungs on chest X-rays: some 400 films to learn from, two cores, half an hour.
XRAY: Values = {
    # The lungs' outline is smooth: scaled back from 192 pixels it loses a ten-thousandth of Dice
    # at 256, and a film costs half as much.
    "build-tables.picture_px": 192,
    "train.target": "lungs",
    "train.network": "unet",
    # 3 million parameters, 6 MB as they are shipped. 16 filters are 7.8 million.
    "train.base_width": 10,
    # The sixth level sees the whole film: where a lung is white, its place must tell.
    "train.depth": 6,
    "train.hu_low": 0.0,
    "train.hu_high": 255.0,
    "train.loss": "bce_dice",
    # After 3,000 steps of a long schedule the held-out films got no better, the others did.
    "train.epochs": 30,
    "train.batch_size": 4,
    "train.dropout": 0.3,
    "train.learning_rate": 1e-3,
    "train.schedule": "cosine",
    "train.warmup_epochs": 1.0,
    "train.norm_momentum": 0.95,
    # The heart lies on the left: no mirror. Films differ much in exposure and in how much of the
    # patient they show; some are scanned as negatives, or lying on a side.
    "train.flip_x": 0.0,
    "train.quarter_turns": 0.3,
    "train.invert": 0.25,
    "train.gamma": 1.0,
    "train.rotate_degrees": 12.0,
    "train.shift_px": 9.0,
    "train.zoom": 0.2,
    "train.pad_px": 9.0,
    "train.elastic_px": 6.0,
    "train.brightness": 0.2,
    "train.contrast": 0.4,
    "train.noise": 0.03,
    "train.workers": 1,
}

PRESETS: Mapping[str, Values] = MappingProxyType(
    {
        "small": SMALL,
        "lidc-cpu": LIDC_CPU,
        "lidc-cpu-scans": LIDC_CPU_SCANS,
        "lidc-gpu": LIDC_GPU,
        "lidc-gpu-scans": LIDC_GPU_SCANS,
        "lidc": LIDC,
        "xray": XRAY,
    }
)
