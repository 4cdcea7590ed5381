#!/bin/sh
# The compiler for build systems: kernel-mode flags always, and musl instead of the host's libc.
# A call that links gets musl's start files; one that only compiles, preprocesses or asks does not.
link=no
for word; do
	case $word in
	-c | -S | -E | -M | -MM | -fsyntax-only | -r | --version | -print-* | -dump*) link=never ;;
	-*) ;;
	*) [ $link = never ] || link=yes ;;
	esac
done
# -mcmodel=kernel has no position-independent form; a static program needs none.
first=yes
for word; do
	if [ $first = yes ]; then set --; first=no; fi
	case $word in
	-fPIC | -fpic | -fPIE | -fpie | -pie | -static-pie) ;;
	*) set -- "$@" "$word" ;;
	esac
done
if [ $link = yes ]; then
	set -- "$@" -static -no-pie -nostdlib -z noexecstack "-L@SYSROOT@/lib" \
		'@SYSROOT@/lib/crt1.o' '@SYSROOT@/lib/crti.o' \
		-Wl,--start-group -lc '@LIBGCC@' -Wl,--end-group '@SYSROOT@/lib/crtn.o'
fi
# Last, so that no flag of the build system undoes them.
exec '@CC@' "$@" @FLAGS@
