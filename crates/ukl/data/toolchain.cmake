# Read by cmake through CMAKE_TOOLCHAIN_FILE: one static program.
set(CMAKE_C_COMPILER "@BIN@/cc")
set(CMAKE_CXX_COMPILER "@BIN@/c++")
set(CMAKE_Fortran_COMPILER "@BIN@/fc")
set(BUILD_SHARED_LIBS OFF CACHE BOOL "the program becomes one static object")
set(CMAKE_POSITION_INDEPENDENT_CODE OFF)
set(CMAKE_FIND_LIBRARY_SUFFIXES ".a")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static")
set(CMAKE_PREFIX_PATH "$ENV{UKL_PREFIX}")
