"""Every sentence, table and JSON line that the screen and the commands show, made from values."""
