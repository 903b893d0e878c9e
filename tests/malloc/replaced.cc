// SPDX-License-Identifier: MIT
// A program that replaces operator new and delete in their basic form alone: every other form has
// to come by there, and nothing of its pool may come to the malloc.
#include <cstdio>
#include <new>
#include <string>
#include <vector>

static char pool[1 << 20];
static std::size_t used;
static int nr_new, nr_deleted, nr_foreign;

void *operator new(std::size_t size)
{
	char *p = pool + used;

	used += (size + 31) & ~std::size_t(15);
	if (used > sizeof pool)
		throw std::bad_alloc();
	nr_new++;
	return p;
}

void operator delete(void *p) noexcept
{
	nr_deleted++;
	nr_foreign += p && (p < pool || p >= pool + sizeof pool);
}

struct counted {
	int x[10];
	~counted() { x[0] = 0; }
};
struct alignas(64) wide {
	char bytes[64];
};

int main()
{
	counted *volatile one = new counted, *volatile many = new counted[3];
	delete one;
	delete[] many;
	int *volatile silent = new (std::nothrow) int, *volatile silent_many =
		new (std::nothrow) int[4];
	delete silent;
	delete[] silent_many;
	{
		std::vector<std::string> strings(10, std::string(100, 'x'));
	}
	wide *volatile aligned = new wide; // that form is not replaced
	delete aligned;
	bool good = nr_new == nr_deleted && nr_new == 4 + 12 && !nr_foreign;
	void *volatile refused = ::operator new(sizeof pool, std::nothrow);
	good = good && !refused;
	std::printf("%sok 1 - new and delete replaced: %d and %d calls, %d strangers\n",
		    good ? "" : "not ", nr_new, nr_deleted, nr_foreign);
	return !good;
}
