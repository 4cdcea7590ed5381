#!/bin/sh
# The assembler that compilers find through -B: the site macros first, then the real input.
# With -pipe there is no input file and standard input must be named, or it would not be read.
input=no
skip=no
for word; do
	if [ $skip = yes ]; then skip=no; continue; fi
	case $word in
	-o | -I | --debug-prefix-map | --defsym | -march | -mtune) skip=yes ;;
	-) input=yes ;;
	-*) ;;
	*) input=yes ;;
	esac
done
if [ $input = no ]; then set -- "$@" -; fi
exec '@AS@' "${0%/*}/sites.s" "$@"
