// Regular expressions, files, streams, containers and locales.
#include "parts.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <map>
#include <regex>
#include <sstream>
#include <string>

namespace fs = std::filesystem;

void text()
{
	std::string line = "the program is the kernel is the program";
	std::map<std::string, int> counts;
	std::regex word("[a-z]+");
	for (std::sregex_iterator i(line.begin(), line.end(), word), end; i != end; ++i)
		counts[i->str()]++;
	for (const auto &[name, count] : counts)
		std::cout << count << ' ' << name << std::endl;
	std::cout << std::regex_replace(line, std::regex("(k)(ernel)"), "$2$1") << std::endl;

	fs::path folder = fs::temp_directory_path() / "words";
	fs::create_directories(folder / "deep");
	std::ofstream(folder / "deep/file") << std::setprecision(3) << 2.0 / 3 << ' ' << std::hex << 255;
	for (const auto &entry : fs::recursive_directory_iterator(folder))
		std::cout << fs::relative(entry.path(), folder).string() << (entry.is_directory() ? "/" : "") << std::endl;
	std::stringstream text;
	text << std::ifstream(folder / "deep/file").rdbuf();
	std::cout << text.str() << std::endl;
	fs::remove_all(folder);
	std::error_code error;
	(void)fs::file_size(folder / "deep/file", error);
	std::cout << error.message() << std::endl;
	std::cout << (std::chrono::steady_clock::now().time_since_epoch().count() > 0) << std::endl;
}
