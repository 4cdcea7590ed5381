# Many test programs → one: each keeps its sources as they are; `main` gets a name of its own and every other
# symbol becomes local. The including file sets tests (sources), stem (what a test's name leaves out), flags,
# objects and libs (what all of them are linked with).

suite := $(dir $(lastword $(MAKEFILE_LIST)))
objcopy ?= objcopy
made := $(tests:.c=.test)

# The list goes through a file: so many names are too long for one command.
all: $(made)
	$(file >made.list,$(made))
	sh $(suite)join.sh made.list $(suite)driver.c $(objects) $(libs)

# A test that does not compile, or is none, leaves an empty file.
%.test: %.c
	@name=$$(echo '$(<:$(stem)%.c=%)' | sed 's/[^A-Za-z0-9]/_/g'); \
	if $(CC) $(CFLAGS) $(flags) -g0 -w -c $< -o $*.o 2>$*.log && nm $*.o | grep -q ' T main$$'; then \
		$(objcopy) --redefine-sym main=test_$$name --keep-global-symbol=test_$$name $*.o && \
		echo '$(<:$(stem)%.c=%)' test_$$name $*.o >$@; \
	else \
		echo 'left out, no program: $<'; : >$@; \
	fi
