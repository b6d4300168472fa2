"""How sure a measured number is: intervals, paired tests, calibration and power, of plain numbers."""
