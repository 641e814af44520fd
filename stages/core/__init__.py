"""What the stages share at home; never on a device."""
