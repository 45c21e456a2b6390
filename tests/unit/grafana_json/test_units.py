import pytest

from grafana_json.units import grafana_unit


@pytest.mark.parametrize(
    ("units", "shown"),
    [
        ("degC", "celsius"),
        ("K", "kelvin"),
        ("hPa", "pressurehpa"),
        ("mbar", "pressurembar"),
        ("mBar", "pressurembar"),
        ("km/h", "velocitykmh"),
        ("%", "percent"),
        ("V", "volt"),
        ("Volts", "volt"),
        ("m", "lengthm"),
        ("min", "m"),
        (" mm ", "lengthmm"),
        ("mW", "mW"),
        ("furlongs", "furlongs"),
        ("", None),
        (None, None),
    ],
)
def test_units_as_grafana_knows_them(units, shown):
    """Known units become Grafana's ids, other text stands as it is, and nothing stays nothing."""
    assert grafana_unit(units) == shown
