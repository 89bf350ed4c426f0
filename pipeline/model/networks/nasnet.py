"""The NASNet-A encoder in its mobile size (Zoph et al. 2018), from stock layers.

keras.applications has this network too, with the same layers under the same names, and its
ImageNet weights load into this one (the tests compare the outputs of both). It is built here
because Keras refuses its own on PyTorch, gives the layers that the decoder needs a running number
which depends on what was built before, and fixes the normalisation's momentum at 0.9997: it takes
some 3,000 steps until the running statistics are useful, longer than a small training.
"""

from dataclasses import dataclass
from typing import Any

Tensor = Any

FILTERS = 44
STEM_FILTERS = 32


@dataclass(frozen=True)
class Encoded:
    """The encoder's output: the map at the bottom and three skips from coarse to fine."""

    bottom: Tensor
    skips: tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Cells:
    """The building blocks of NASNet-A, all with one momentum of the batch normalisation."""

    norm_momentum: float

    def norm(self, x: Tensor, name: str) -> Tensor:
        """Batch normalisation of `x`."""
        from keras import layers

        return layers.BatchNormalization(momentum=self.norm_momentum, epsilon=1e-3, name=name)(x)

    def point(self, x: Tensor, filters: int, name: str) -> Tensor:
        """A 1x1 convolution."""
        from keras import layers

        return layers.Conv2D(filters, 1, use_bias=False, kernel_initializer="he_normal", name=name)(
            x
        )

    def separable(self, x: Tensor, filters: int, kernel: int, name: str, stride: int = 1) -> Tensor:
        """ReLU, separable convolution, normalisation, all twice; the first has the stride."""
        from keras import layers

        for turn in (1, 2):
            x = layers.ReLU(name=relu_name(turn, name))(x)
            padding = "same"
            if turn == 1 and stride == 2:
                pad = layers.ZeroPadding2D(
                    halving_pad(x, kernel), name=f"separable_conv_1_pad_{name}"
                )
                x, padding = pad(x), "valid"
            x = layers.SeparableConv2D(
                filters,
                kernel,
                strides=stride if turn == 1 else 1,
                padding=padding,
                use_bias=False,
                name=f"separable_conv_{turn}_{name}",
            )(x)
            x = self.norm(x, f"separable_conv_{turn}_bn_{name}")
        return x

    def squeeze(self, x: Tensor, filters: int, kind: str, cell: str) -> Tensor:
        """The cell's input `x` with the cell's number of filters."""
        from keras import layers

        x = layers.ReLU(name=f"{kind}_relu_1_{cell}")(x)
        return self.norm(self.point(x, filters, f"{kind}_conv_1_{cell}"), f"{kind}_bn_1_{cell}")

    def adjust(self, before: Tensor | None, x: Tensor, filters: int, cell: str) -> Tensor:
        """`before`, the previous cell's input, with the size and the filters of this cell."""
        from keras import layers

        if before is None:
            return x
        if before.shape[1:3] != x.shape[1:3]:
            # Half the size without losing pixels: two grids, one shifted by a pixel.
            before = layers.ReLU(name=f"adjust_relu_1_{cell}")(before)
            shifted = layers.ZeroPadding2D(((0, 1), (0, 1)), name=f"adjust_pad_{cell}")(before)
            shifted = layers.Cropping2D(((1, 0), (1, 0)), name=f"adjust_crop_{cell}")(shifted)
            halves = []
            for number, grid in ((1, before), (2, shifted)):
                half = layers.AveragePooling2D(1, 2, name=f"adjust_avg_pool_{number}_{cell}")(grid)
                halves.append(self.point(half, filters // 2, f"adjust_conv_{number}_{cell}"))
            both = layers.Concatenate(name=f"adjust_concat_{cell}")(halves)
            return self.norm(both, f"adjust_bn_{cell}")
        if before.shape[-1] != filters:
            before = layers.ReLU(name=f"adjust_relu_1_{cell}")(before)
            before = self.point(before, filters, f"adjust_conv_projection_{cell}")
            return self.norm(before, f"adjust_bn_{cell}")
        return before

    def normal(self, x: Tensor, before: Tensor, filters: int, cell: str) -> Tensor:
        """Output of a cell that keeps the size."""
        from keras import layers

        def mean(y: Tensor, side: str) -> Tensor:
            return layers.AveragePooling2D(3, 1, "same", name=f"normal_{side}_{cell}")(y)

        def add(number: int, *parts: Tensor) -> Tensor:
            return layers.Add(name=f"normal_add_{number}_{cell}")(list(parts))

        def separable(y: Tensor, kernel: int, side: str) -> Tensor:
            return self.separable(y, filters, kernel, f"normal_{side}_{cell}")

        p = self.adjust(before, x, filters, cell)
        h = self.squeeze(x, filters, "normal", cell)
        x1 = add(1, separable(h, 5, "left1"), separable(p, 3, "right1"))
        x2 = add(2, separable(p, 5, "left2"), separable(p, 3, "right2"))
        x3 = add(3, mean(h, "left3"), p)
        x4 = add(4, mean(p, "left4"), mean(p, "right4"))
        x5 = add(5, separable(h, 3, "left5"), h)
        return layers.Concatenate(name=f"normal_concat_{cell}")([p, x1, x2, x3, x4, x5])

    def reduction(
        self, x: Tensor, before: Tensor | None, filters: int, cell: str
    ) -> tuple[Tensor, Tensor]:
        """Output of a cell that halves the size, and the skip: its two inputs at full size."""
        from keras import layers

        def separable(y: Tensor, kernel: int, side: str, stride: int = 2) -> Tensor:
            return self.separable(y, filters, kernel, f"reduction_{side}_{cell}", stride)

        p = self.adjust(before, x, filters, cell)
        h = self.squeeze(x, filters, "reduction", cell)
        padded = layers.ZeroPadding2D(halving_pad(h, 3), name=f"reduction_pad_1_{cell}")(h)

        def pool(kind: str, side: str) -> Tensor:
            layer = layers.MaxPooling2D if kind == "max" else layers.AveragePooling2D
            return layer(3, 2, name=f"reduction_{side}_{cell}")(padded)

        def add(name: str, *parts: Tensor) -> Tensor:
            return layers.Add(name=f"reduction_{name}_{cell}")(list(parts))

        x1 = add("add_1", separable(h, 5, "left1"), separable(p, 7, "right1"))
        x2 = add("add_2", pool("max", "left2"), separable(p, 7, "right2"))
        x3 = add("add3", pool("mean", "left3"), separable(p, 5, "right3"))
        x1_mean = layers.AveragePooling2D(3, 1, "same", name=f"reduction_left4_{cell}")(x1)
        x4 = add("add_3", x2, x1_mean)
        x5 = add("add4", separable(x1, 3, "left4", 1), pool("max", "right5"))
        out = layers.Concatenate(name=f"reduction_concat_{cell}")([x2, x3, x4, x5])
        skip = layers.Concatenate(name=f"skip_{cell}")(
            [layers.ReLU(name=f"skip_{part}_{cell}")(y) for part, y in (("x", h), ("before", p))]
        )
        return out, skip


def relu_name(turn: int, name: str) -> str:
    """Name of the ReLU before a separable convolution."""
    return f"separable_relu_{turn}_{name}"


def halving_pad(x: Tensor, kernel: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding before a stride of 2 that makes ceil(size / 2) pixels, for odd and even sizes."""
    half = kernel // 2
    rows, columns = (half - (1 - size % 2) for size in x.shape[1:3])
    return (rows, half), (columns, half)


def nasnet_mobile(image: Tensor, norm_momentum: float, blocks: int = 4) -> Encoded:
    """Encode `image` ``(n, h, w, c)``; skips at 1/16, 1/8 and 1/4 of its size, bottom at 1/32.

    NASNetMobile has four `blocks`, normal cells in each stage; fewer make a shallower encoder.
    """
    from keras import layers

    cells = Cells(norm_momentum)
    x = layers.Conv2D(
        STEM_FILTERS,
        3,
        strides=2,
        use_bias=False,
        kernel_initializer="he_normal",
        name="stem_conv1",
    )(image)
    x = cells.norm(x, "stem_bn1")
    (x, _), before = cells.reduction(x, None, FILTERS // 4, "stem_1"), x
    (x, fine), before = cells.reduction(x, before, FILTERS // 2, "stem_2"), x
    skips = [fine]
    for stage, filters in enumerate((FILTERS, 2 * FILTERS, 4 * FILTERS)):
        if stage:
            cell = f"reduce_{stage * blocks}"
            (x, skip), before = cells.reduction(x, before, filters, cell), x
            skips.insert(0, skip)
        for block in range(blocks):
            # Keras counts a reduction as a block of its own from the second stage on.
            cell = str(stage * blocks + block + bool(stage))
            x, before = cells.normal(x, before, filters, cell), x
    coarse, middle, fine = skips
    return Encoded(layers.ReLU(name="bottom_relu")(x), (coarse, middle, fine))
