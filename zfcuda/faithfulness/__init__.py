"""Is an explanation true? Measures of it, and what each method scores on pictures whose truth is known."""
