/* The other source, with a macro of the recipe. */
int helper(double d) { return d > 100 + sizeof WORD; }
