"""One call builds either network and tells what it costs."""

from __future__ import annotations

import pytest

from david_cli.network.build import (
    Config,
    build,
    config_from_dict,
    count_gmacs,
    count_parameters,
    kind_of,
)
from david_cli.network.david import David, DavidConfig
from david_cli.network.dbn import Dbn, DbnConfig

DAVID = DavidConfig(modules=1, branches=(7,), widths=(4, 4), attention_widths=(4,))
DBN = DbnConfig(width=4)


@pytest.mark.parametrize(
    ("config", "network", "kind"), [(DAVID, David, "david"), (DBN, Dbn, "dbn")]
)
def test_a_configuration_builds_its_own_network(config: Config, network: type, kind: str) -> None:
    built = build(config)
    assert type(built) is network
    assert (built.config, built.total_stride) == (config, config.total_stride)
    assert kind_of(config) == kind
    assert config_from_dict(kind, config.to_dict()) == config


def test_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown network 'unet'"):
        config_from_dict("unet", {})
    with pytest.raises(ValueError, match="width"):
        config_from_dict("david", DBN.to_dict())


@pytest.mark.parametrize("config", [DAVID, DBN])
def test_costs_are_counted(config: Config) -> None:
    assert count_parameters(config) == sum(p.numel() for p in build(config).parameters())
    assert count_gmacs(config) == pytest.approx(4 * count_gmacs(config, 128, 128))
