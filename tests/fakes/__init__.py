"""Stand-ins for servers that no package brings; each has tests of its own behaviour."""
