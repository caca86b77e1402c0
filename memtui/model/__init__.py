"""What things are: pure values, with no I/O, no clock and no Textual."""
