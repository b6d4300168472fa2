"""Clinical scores and formulas: pure functions of stated values, with units checked and sources named."""
