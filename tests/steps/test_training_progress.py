"""What is told of a training, line by line, where stderr is no terminal."""

import pytest

from lungseg.steps.training_progress import TrainingProgress, duration


class Clock:
    """Stands still until it is moved."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def told(capsys):
    return lambda: [line.strip() for line in capsys.readouterr().err.splitlines()]


def epoch(number, seconds=100.0):
    return {"epoch": number, "loss": 0.25, "images_per_second": 8.0, "waiting": 0.1,
            "seconds": seconds}  # fmt: skip


def test_the_device_and_the_steps_are_told_before_the_first_step(told):
    progress = TrainingProgress(40)
    progress.begin("the CPU, 2 cores", 0)
    progress.batch(0, 120, float("nan"))
    assert told() == [
        "training on the CPU, 2 cores",
        "40 epochs of 120 steps; the first step takes longest, while the net is compiled",
    ]


def test_going_on_is_told_as_a_plain_line(told):
    TrainingProgress(40).begin("the GPU X", 3)
    assert told()[1] == "going on after epoch 3, which an earlier run had reached"


def test_the_time_left_is_told_after_the_first_steps_and_then_every_half_minute(told):
    clock = Clock()
    progress = TrainingProgress(2, clock=clock)
    progress.batch(0, 100, float("nan"))
    told()
    clock.now += 60  # the first step, which is no measure of the others
    progress.batch(1, 100, 0.9)
    assert told() == ["epoch 1 of 2: step 1 of 100, loss 0.9000"]
    for done in range(2, 20):
        clock.now += 2
        progress.batch(done, 100, 0.5)
    # 197 and then 182 steps of two seconds are left of 200
    assert told() == [
        "epoch 1 of 2: step 3 of 100, loss 0.5000, about 7 min left",
        "epoch 1 of 2: step 18 of 100, loss 0.5000, about 6 min left",
    ]


def test_an_epoch_has_a_line_and_later_ones_no_line_of_their_first_steps(told):
    clock = Clock()
    progress = TrainingProgress(3, clock=clock)
    for number in (1, 2):
        for done in range(5):
            progress.batch(done, 4, 0.5)
        clock.now += 10
        progress.epoch(epoch(number))
    lines = told()
    assert [line[:12] for line in lines] == [
        "3 epochs of ", "epoch 1 of 3", "epoch 1 of 3", "epoch 2 of 3",
    ]  # fmt: skip
    assert lines[2].endswith("loss 0.2500, 8.0 images/s, waited 10.0% of 100 s for data, 20 s left")
    assert lines[3].endswith(", 10 s left")


@pytest.mark.parametrize(
    ("seconds", "text"), [(89, "89 s"), (91, "2 min"), (5399, "90 min"), (5400, "1.5 h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_scores_of_pixels_and_of_nodules_and_what_was_mined_are_told(told):
    progress = TrainingProgress(1)
    progress.epoch(epoch(1) | {"val_dice": 0.5, "val_nodule_dice": 0.75, "mined": 12.0})
    assert "validation Dice 0.5000, of nodules 0.7500, 12 false alarms mined, 8.0" in told()[0]
