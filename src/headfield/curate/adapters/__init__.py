"""Folders as data sets publish them, read only: each adapter turns one layout into subjects."""
