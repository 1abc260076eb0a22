"""Files that other programs read: a file of this room for each, and a row of `table.FORMATS`."""
