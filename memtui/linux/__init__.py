"""The only code that opens /proc or /sys or makes a system call. Errors become typed ones here."""
