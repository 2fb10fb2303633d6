"""Names of columns in the schemas that Spark reads."""


def quoted(name: str) -> str:
    """A column's name in a schema."""
    return f"`{name.replace('`', '``')}`"
