"""Polyclinic: multi-agent clinical reasoning with evidence for every statement and a trace that replays."""
