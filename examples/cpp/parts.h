// One function for each part of the language that needs a library at run time.
#pragma once

void lifetimes();
void threads();
void text();
