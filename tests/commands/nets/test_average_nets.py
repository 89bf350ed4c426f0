"""`models average`: the mean of nets, and whom it has seen."""

import dataclasses

import numpy as np
import pytest

from lungseg.commands.nets.average_nets import average, record_of_mean
from lungseg.core.errors import ConfigError, DataError
from lungseg.model.devices import quiet_keras
from lungseg.model.inference import load_net
from lungseg.model.model_record import NET, read_model_record, write_model_record
from tests.commands.bright_net import RECORD, write_bright_net


@pytest.fixture
def nets(tmp_path):
    """Two nets of one form: the bright one, and one with all its weights three times as large."""
    quiet_keras()
    first = write_bright_net(tmp_path / "first", threshold=0.4)
    second = write_bright_net(tmp_path / "second", train_patients=["other", "chosen-on"])
    import keras

    net = keras.saving.load_model(second)
    net.set_weights([3 * values for values in net.get_weights()])
    net.save(second)
    write_model_record(
        dataclasses.replace(RECORD, train_patients=["other", "chosen-on"]), second.parent
    )
    return first, second


def test_weights_are_means_and_patients_are_of_both(nets, tmp_path):
    out = tmp_path / "new" / "mean.keras"
    told = average([str(path) for path in nets], out)
    assert told == f"{out}  is the mean of 2 nets that saw 3 patients"
    kernel, bias = load_net(out).get_weights()
    np.testing.assert_allclose(kernel.ravel(), [-40.0, 40.0])
    np.testing.assert_allclose(bias, [20.0, -20.0])
    record = read_model_record(out)
    assert record.train_patients == ["chosen-on", "other", "taught"]
    # Chosen on by one, taught to the other.
    assert record.validation_patients == []
    assert (record.threshold, record.calibration, record.scores) == (0.5, {}, {})
    assert len(set(record.params["mean_of"])) == 2
    assert read_model_record(nets[0]).threshold == 0.4


def test_one_net_and_a_mean_in_place_of_a_net_are_refused(nets):
    with pytest.raises(ConfigError, match="1 net is no mean; name two"):
        average([str(nets[0])], nets[0].with_name("x.keras"))
    with pytest.raises(ConfigError, match="is one of the nets; name another file"):
        average([str(path) for path in nets], nets[1])


@pytest.mark.parametrize(("name", "value"), [("context", 2), ("target", "lungs"), ("high", 300.0)])
def test_nets_of_other_forms_have_no_mean(name, value, tmp_path):
    files = [tmp_path / "a" / NET, tmp_path / "b" / NET]
    other = dataclasses.replace(RECORD, **{name: value})
    with pytest.raises(DataError, match=f"has {name} .*; only nets of one form"):
        record_of_mean([RECORD, other], files)
