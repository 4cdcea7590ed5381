// Globals, with and without an order of their own, local statics, destructors while an exception passes, and types at
// run time.
#include "parts.h"

#include <cstdio>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <typeinfo>

namespace {

struct Trace {
	const char *name;
	// std::cout need not be there yet, or still.
	explicit Trace(const char *name) : name(name) { std::printf("%s is made\n", name); }
	~Trace() { std::printf("%s is destroyed\n", name); }
};

Trace second("second");
__attribute__((init_priority(200))) Trace first("first");

struct Shape {
	virtual ~Shape() = default;
	virtual double area() const = 0;
};

struct Square : Shape {
	double side;
	explicit Square(double side) : side(side) {}
	double area() const override { return side * side; }
};

struct Circle : Shape {
	double area() const override { return 3; }
};

void thrower(int depth)
{
	Trace local(depth ? "outer" : "inner");
	if (!depth)
		throw std::out_of_range("too deep");
	thrower(depth - 1);
}

} // namespace

void lifetimes()
{
	static Trace once("local static");
	try {
		thrower(1);
	} catch (const std::logic_error &error) {
		std::cout << "caught: " << error.what() << std::endl;
	}
	std::unique_ptr<Shape> shape = std::make_unique<Square>(1.5);
	const Shape &seen = *shape;
	std::cout << typeid(seen).name() << ' ' << shape->area() << ' ' << (dynamic_cast<Circle *>(shape.get()) == nullptr)
		  << std::endl;
	try {
		(void)dynamic_cast<Circle &>(*shape);
	} catch (const std::bad_cast &error) {
		std::cout << error.what() << std::endl;
	}
}
