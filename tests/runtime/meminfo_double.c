/* Loaded before libc: whoever opens /proc/meminfo gets the file that DOUBLE_MEMINFO names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char* redirected(const char* path) {
    const char* instead = getenv("DOUBLE_MEMINFO");
    return instead && strcmp(path, "/proc/meminfo") == 0 ? instead : path;
}

#define FOPEN(name)                                                                 \
    FILE* name(const char* path, const char* mode) {                                \
        FILE* (*real)(const char*, const char*) = dlsym(RTLD_NEXT, #name);          \
        return real(redirected(path), mode);                                        \
    }
FOPEN(fopen)
FOPEN(fopen64)

#define OPEN(name)                                                                  \
    int name(const char* path, int flags, ...) {                                    \
        int (*real)(const char*, int, ...) = dlsym(RTLD_NEXT, #name);               \
        va_list rest;                                                               \
        va_start(rest, flags);                                                      \
        const int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, int) : 0;     \
        va_end(rest);                                                               \
        return real(redirected(path), flags, mode);                                 \
    }
OPEN(open)
OPEN(open64)
