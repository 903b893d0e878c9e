// SPDX-License-Identifier: MIT
// Every form of operator new and delete; std::bad_alloc, the new handler, containers, threads.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <new>
#include <string>
#include <thread>
#include <vector>

static int nr_bad, nr_handled;
#define CHECK(condition)                                                                          \
	do {                                                                                      \
		if (!(condition)) {                                                               \
			nr_bad++;                                                                 \
			std::printf("# %s:%d: %s\n", __FILE__, __LINE__, #condition);             \
		}                                                                                 \
	} while (0)

struct alignas(256) wide {
	char bytes[300];
	~wide() { bytes[0] = 0; }
};

static volatile std::size_t too_much = SIZE_MAX / 4;

static void handler()
{
	if (++nr_handled == 3)
		std::set_new_handler(nullptr);
}

static void refused()
{
	bool caught = false;

	try {
		char *volatile p = new char[too_much];
		delete[] p;
	} catch (const std::bad_alloc &) {
		caught = true;
	}
	CHECK(caught);
	CHECK(!(new (std::nothrow) char[too_much]));
	std::set_new_handler(handler);
	caught = false;
	try {
		void *volatile p = ::operator new(too_much, std::align_val_t(64));
		::operator delete(p, std::align_val_t(64));
	} catch (const std::bad_alloc &) {
		caught = true;
	}
	CHECK(caught && nr_handled == 3);
}

static void forms()
{
	wide *volatile one = new wide, *volatile many = new wide[5];
	CHECK(reinterpret_cast<std::uintptr_t>(one) % 256 == 0);
	CHECK(reinterpret_cast<std::uintptr_t>(&many[0]) % 256 == 0);
	delete one;
	delete[] many;
	void *p = ::operator new(100, std::nothrow);
	::operator delete(p, std::nothrow);
	p = ::operator new[](100, std::nothrow);
	::operator delete[](p, std::nothrow);
	p = ::operator new(100, std::align_val_t(4096), std::nothrow);
	CHECK(reinterpret_cast<std::uintptr_t>(p) % 4096 == 0);
	::operator delete(p, std::align_val_t(4096), std::nothrow);
	p = ::operator new[](100, std::align_val_t(32), std::nothrow);
	::operator delete[](p, std::align_val_t(32), std::nothrow);
	p = ::operator new(24);
	::operator delete(p, std::size_t(24));
	p = ::operator new[](24);
	::operator delete[](p, std::size_t(24));
	p = ::operator new(0);
	CHECK(p);
	::operator delete(p, std::size_t(0), std::align_val_t(16));
}

static void containers()
{
	std::vector<std::thread> threads;

	for (int t = 0; t < 4; t++)
		threads.emplace_back([t] {
			std::map<std::string, std::vector<int>> m;
			for (int i = 0; i < 20000; i++)
				m[std::to_string(i % 500 + t)].push_back(i);
			std::size_t sum = 0;
			for (auto &entry : m)
				sum += entry.second.size();
			CHECK(sum == 20000);
		});
	for (auto &thread : threads)
		thread.join();
}

int main()
{
	forms();
	refused();
	containers();
	std::printf("%sok 1 - C++ new and delete\n", nr_bad ? "not " : "");
	return nr_bad != 0;
}
