"""The documents: their snippets run, their links lead somewhere, the generated ones are up to date."""
