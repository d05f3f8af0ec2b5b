"""Where images come from: folders, arrays, tables, archives and named sets, all read in chunks by one protocol."""
