"""The main job on real shopping logs, from its raw lines to its last page."""
