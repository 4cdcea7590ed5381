// Counts words: globals with constructors and destructors, virtual functions, templates, lambdas, new and delete.
#include <pthread.h>
#include <stdio.h>
#include <string.h>

namespace {

struct Trace {
	const char *name;
	explicit Trace(const char *name) : name(name) { printf("%s is made\n", name); }
	~Trace() { printf("%s is destroyed\n", name); }
};

Trace first("first");
Trace second("second");

template <typename Key, typename Value> class Map {
	struct Node {
		Key key;
		Value value;
		Node *next;
	};
	Node *nodes = nullptr;

public:
	Map() = default;
	Map(const Map &) = delete;
	~Map()
	{
		while (nodes) {
			Node *next = nodes->next;
			delete nodes;
			nodes = next;
		}
	}
	// Sorted by insertion into the place that `less` says.
	template <typename Less> Value &at(const Key &key, Less less)
	{
		Node **place = &nodes;
		while (*place && less((*place)->key, key))
			place = &(*place)->next;
		if (!*place || less(key, (*place)->key))
			*place = new Node{ key, Value(), *place };
		return (*place)->value;
	}
	template <typename Visit> void each(Visit visit) const
	{
		for (Node *node = nodes; node; node = node->next)
			visit(node->key, node->value);
	}
};

class Sink {
public:
	virtual ~Sink() = default;
	virtual void line(const char *word, int count) = 0;
};

class Printer : public Sink {
	int lines = 0;

public:
	void line(const char *word, int count) override { printf("%d %s\n", count, word), lines++; }
	~Printer() override { printf("%d words\n", lines); }
};

thread_local int own = 7;

void *other(void *result)
{
	*static_cast<int *>(result) = own++;
	return nullptr;
}

} // namespace

int main()
{
	static char text[] = "the program is the kernel is the program";
	Map<const char *, int> counts;
	auto less = [](const char *a, const char *b) { return strcmp(a, b) < 0; };
	for (char *word = strtok(text, " "); word; word = strtok(nullptr, " "))
		counts.at(word, less)++;
	Sink *sink = new Printer;
	counts.each([sink](const char *word, int count) { sink->line(word, count); });
	delete sink;
	pthread_t thread;
	int result = 0;
	own = 1;
	pthread_create(&thread, nullptr, other, &result);
	pthread_join(thread, nullptr);
	printf("thread-local: %d here, %d there\n", own, result);
	return 0;
}
