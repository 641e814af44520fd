"""Code that the stages share; it runs at home, never on a device."""
