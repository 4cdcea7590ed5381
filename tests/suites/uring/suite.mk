# The tests of liburing: one program per file; helpers.c is what they share.
tests := $(filter-out test/helpers.c test/nolibc.c, $(sort $(wildcard test/*.c)))
stem := test/
flags := -D_GNU_SOURCE -D__SANE_USERSPACE_TYPES__ -DLIBURING_BUILD_TEST -Isrc/include -include config-host.h
objects := test/helpers.c $(flags)
libs := src/liburing.a -lpthread
include ../suite/many.mk
