// Threads that throw, variables of their own, and futures that carry an exception.
#include "parts.h"

#include <atomic>
#include <future>
#include <iostream>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

struct Counter {
	int value = 7;
	static std::atomic<int> ended;
	~Counter() { ended++; }
};

std::atomic<int> Counter::ended{0};
thread_local Counter own;

int fails(int number)
{
	if (number % 2)
		throw std::runtime_error("odd " + std::to_string(number));
	return number;
}

} // namespace

void threads()
{
	std::vector<std::thread> threads;
	std::atomic<int> caught{0};
	for (int i = 0; i < 4; i++) {
		threads.emplace_back([&caught, i] {
			own.value += i;
			for (int n = 0; n < 1000; n++) {
				try {
					fails(n);
				} catch (const std::runtime_error &) {
					caught++;
				}
			}
		});
	}
	for (auto &thread : threads)
		thread.join();
	std::cout << caught << " caught in " << threads.size() << " threads, " << Counter::ended
		  << " counters ended, mine is " << own.value << std::endl;

	auto future = std::async(std::launch::async, fails, 3);
	try {
		future.get();
	} catch (const std::exception &error) {
		std::cout << "from the other thread: " << error.what() << std::endl;
	}
	std::once_flag flag;
	int calls = 0;
	for (int i = 0; i < 3; i++)
		std::call_once(flag, [&calls] { calls++; });
	std::cout << "called once: " << calls << std::endl;
}
