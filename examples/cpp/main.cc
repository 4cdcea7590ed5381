// Calls the parts, with C and C++ output mixed on one stream.
#include "parts.h"

#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

int main(int argc, char **argv)
{
	std::ios::sync_with_stdio(true);
	std::vector<std::string> words(argv + 1, argv + argc);
	std::cout << "words: " << words.size() << std::endl;
	std::printf("from printf\n");
	lifetimes();
	threads();
	text();
	std::cout << "the end" << std::endl;
}
