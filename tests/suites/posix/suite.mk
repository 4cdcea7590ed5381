# The Open POSIX Test Suite: one program per assertion.
tests := $(sort $(shell find conformance/interfaces -name '[0-9]*-*.c' ! -name '*buildonly*'))
stem := conformance/interfaces/
flags := -std=gnu99 -D_GNU_SOURCE -D_XOPEN_SOURCE=600 -Iinclude
libs := -lpthread -lrt -lm
include ../suite/many.mk
