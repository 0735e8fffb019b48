/* A double of NVIDIA's driver, libcuda.so.1: every call and its arguments become a line of the file
 * that $DOUBLE_LOG names. It computes nothing: memory is main memory, filled with 0xA5, and copies
 * are made at once. Kernels' parameters are read from the cubin, as the driver reads them, so that
 * what is passed is seen as a GPU would see it. Like the driver it refuses what needs a context in a
 * thread that has none (201), and in one that captures what must not be done meanwhile (900): taking
 * and giving back memory, loading code, also that of a kernel that was never launched, and waiting.
 *
 *   DOUBLE_FAIL=cuMemAlloc_v2:2:3   the third call of a function gives this code
 *   DOUBLE_GPUS=1  DOUBLE_CAPABILITY=90  DOUBLE_SHARED=232448
 *   DOUBLE_PINNED=1                 all main memory is said to be pinned
 *   DOUBLE_FLAG=1                   what a recording clears becomes 1 when it is replayed
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default")))
enum { MOST = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, speaking = PTHREAD_MUTEX_INITIALIZER;
static FILE* file;
static int handles, failed_calls, clears;
static _Thread_local uint64_t cleared; /* the last address that this thread cleared */
static uint64_t clears_of[1 << 16];             /* what a recording clears, by its handle */
static _Thread_local int contexts;
static _Thread_local void* captured; /* the stream that this thread captures */
static const char* const unsafe[] = {
    "cuMemAlloc_v2",    "cuMemFree_v2",   "cuMemHostAlloc",      "cuMemFreeHost",
    "cuModuleLoadData", "cuModuleUnload", "cuStreamSynchronize", "cuEventSynchronize",
};

static int number(const char* name, int usual) {
    const char* text = getenv(name);
    return text ? atoi(text) : usual;
}

static void say(const char* format, ...) {
    va_list arguments;
    va_start(arguments, format);
    pthread_mutex_lock(&speaking); /* a line is one thread's */
    if (!file) {
        file = fopen(getenv("DOUBLE_LOG"), "a");
    }
    vfprintf(file, format, arguments);
    fputc('\n', file);
    fflush(file);
    pthread_mutex_unlock(&speaking);
    va_end(arguments);
}

/* The code that a call is to give. */
static int fails(const char* name) {
    const char* wanted = getenv("DOUBLE_FAIL");
    char function[64];
    int code = 0, which = 1;
    if (wanted && sscanf(wanted, "%63[^:]:%d:%d", function, &code, &which) >= 2 &&
        !strcmp(function, name) && ++failed_calls == which) {
        say("%s fails %d", name, code);
        return code;
    }
    const int asks = !strncmp(name, "cuInit", 6) || !strncmp(name, "cuDevice", 8);
    int refused = contexts || asks ? 0 : 201; /* CUDA_ERROR_INVALID_CONTEXT */
    for (size_t i = 0; captured && i < sizeof unsafe / sizeof *unsafe; ++i) {
        refused = strcmp(name, unsafe[i]) ? refused : 900; /* ..._STREAM_CAPTURE_UNSUPPORTED */
    }
    if (refused) {
        say("%s refused %d", name, refused);
    }
    return refused;
}

#define CALL(name, ...)                              \
    do {                                             \
        pthread_mutex_lock(&lock);                   \
        const int code = fails(name);                \
        if (!code) {                                 \
            say(name " " __VA_ARGS__);               \
        }                                            \
        pthread_mutex_unlock(&lock);                 \
        if (code) {                                  \
            return code;                             \
        }                                            \
    } while (0)

/* Handles are small numbers: nothing may look behind them. */
static void* handle(void) {
    return (void*)(uintptr_t)__atomic_add_fetch(&handles, 1, __ATOMIC_SEQ_CST);
}

/* A kernel's parameters, by its handle. */
struct kernel {
    int count, launched;
    int sizes[MOST];
};
static struct kernel kernels[1 << 17];
static const unsigned char* codes[1 << 17];

static uint64_t field(const unsigned char* at, int bytes) {
    uint64_t value = 0;
    memcpy(&value, at, bytes);
    return value;
}

/* EIATTR_KPARAM_INFO of .nv.info.ENTRY. */
static int parameters(const unsigned char* elf, const char* entry, struct kernel* kernel) {
    const uint64_t table = field(elf + 0x28, 8);
    const int size = (int)field(elf + 0x3A, 2), count = (int)field(elf + 0x3C, 2);
    const unsigned char* names = elf + field(elf + table + size * field(elf + 0x3E, 2) + 0x18, 8);
    char wanted[256];
    snprintf(wanted, sizeof wanted, ".nv.info.%s", entry);
    for (int i = 0; i < count; ++i) {
        const unsigned char* header = elf + table + (uint64_t)size * i;
        if (strcmp((const char*)names + field(header, 4), wanted)) {
            continue;
        }
        const unsigned char* at = elf + field(header + 0x18, 8);
        const unsigned char* end = at + field(header + 0x20, 8);
        while (at + 4 <= end) {
            const int form = at[0], attribute = at[1], bytes = (int)field(at + 2, 2);
            at += 4;
            if (form != 4) {
                continue;
            }
            if (attribute == 0x17) {
                const int ordinal = (int)field(at + 4, 2);
                kernel->sizes[ordinal] = (int)(field(at + 8, 4) >> 18);
                kernel->count += 1;
            }
            at += bytes;
        }
        return 0;
    }
    return 500; /* CUDA_ERROR_NOT_FOUND */
}

API int cuInit(unsigned flags) {
    CALL("cuInit", "%u", flags);
    return 0;
}
API int cuDeviceGetCount(int* count) {
    *count = number("DOUBLE_GPUS", 1);
    CALL("cuDeviceGetCount", "%d", *count);
    return 0;
}
API int cuDeviceGet(int* device, int index) {
    *device = index;
    CALL("cuDeviceGet", "%d", index);
    return 0;
}
API int cuDeviceGetName(char* name, int size, int device) {
    snprintf(name, size, "Double %d", device);
    return 0;
}
API int cuDeviceGetAttribute(int* value, int which, int device) {
    const int capability = number("DOUBLE_CAPABILITY", 90);
    (void)device;
    *value = which == 16   ? 132
             : which == 75 ? capability / 10
             : which == 76 ? capability % 10
             : which == 97 ? number("DOUBLE_SHARED", 232448)
                           : -1;
    return *value < 0;
}
API int cuDevicePrimaryCtxRetain(void** context, int device) {
    CALL("cuDevicePrimaryCtxRetain", "%d", device);
    *context = handle();
    return 0;
}
API int cuDevicePrimaryCtxRelease_v2(int device) {
    CALL("cuDevicePrimaryCtxRelease_v2", "%d", device);
    return 0;
}
API int cuCtxPushCurrent_v2(void* context) {
    (void)context;
    ++contexts;
    return 0;
}
API int cuCtxPopCurrent_v2(void** context) {
    *context = NULL;
    return --contexts < 0 ? 201 : 0;
}
API int cuModuleLoadData(void** module, const void* image) {
    *module = handle();
    CALL("cuModuleLoadData", "%d", (int)(uintptr_t)*module);
    codes[(uintptr_t)*module] = image;
    return 0;
}
API int cuModuleUnload(void* module) {
    CALL("cuModuleUnload", "%d", (int)(uintptr_t)module);
    return 0;
}
API int cuModuleGetFunction(void** function, void* module, const char* name) {
    *function = handle();
    CALL("cuModuleGetFunction", "%d %s", (int)(uintptr_t)*function, name);
    return parameters(codes[(uintptr_t)module], name, &kernels[(uintptr_t)*function]);
}
API int cuFuncSetAttribute(void* function, int which, int value) {
    CALL("cuFuncSetAttribute", "%d %d %d", (int)(uintptr_t)function, which, value);
    return 0;
}
API int cuMemGetInfo_v2(size_t* free_bytes, size_t* total) {
    *free_bytes = *total = (size_t)80 << 30;
    return 0;
}
API int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
    CALL("cuMemAlloc_v2", "%zu", bytes);
    void* memory = NULL;
    if (bytes > (size_t)1 << 28) { /* larger than any test's: a GPU without room */
        return 2;
    }
    if (posix_memalign(&memory, 256, bytes)) {
        return 2;
    }
    memset(memory, 0xA5, bytes);
    *address = (uint64_t)(uintptr_t)memory;
    say("memory %llu", (unsigned long long)*address);
    return 0;
}
API int cuMemFree_v2(uint64_t address) {
    CALL("cuMemFree_v2", "%llu", (unsigned long long)address);
    free((void*)(uintptr_t)address);
    return 0;
}
API int cuMemHostAlloc(void** address, size_t bytes, unsigned flags) {
    CALL("cuMemHostAlloc", "%zu %u", bytes, flags);
    *address = bytes > (size_t)1 << 28 ? NULL : malloc(bytes);
    if (!*address) {
        return 2;
    }
    say("pinned %llu", (unsigned long long)(uintptr_t)*address);
    return 0;
}
API int cuMemFreeHost(void* address) {
    CALL("cuMemFreeHost", "%llu", (unsigned long long)(uintptr_t)address);
    free(address);
    return 0;
}
API int cuPointerGetAttribute(void* value, int which, uint64_t address) {
    const unsigned host = 1;
    memcpy(value, &host, sizeof host);
    return which != 2 || !address || !number("DOUBLE_PINNED", 0); /* CUDA_ERROR_INVALID_VALUE */
}
API int cuMemcpyHtoDAsync_v2(uint64_t target, const void* source, size_t bytes, void* stream) {
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < bytes; ++i) {
        hash = (hash ^ ((const unsigned char*)source)[i]) * 16777619u;
    }
    CALL("cuMemcpyHtoDAsync_v2", "%llu %zu %u %d", (unsigned long long)target, bytes, hash,
         (int)(uintptr_t)stream);
    memcpy((void*)(uintptr_t)target, source, bytes);
    return 0;
}
API int cuMemcpyDtoHAsync_v2(void* target, uint64_t source, size_t bytes, void* stream) {
    CALL("cuMemcpyDtoHAsync_v2", "%llu %zu %llu %d", (unsigned long long)source, bytes,
         (unsigned long long)(uintptr_t)target, (int)(uintptr_t)stream);
    memcpy(target, (const void*)(uintptr_t)source, bytes);
    return 0;
}
API int cuMemsetD32Async(uint64_t target, unsigned value, size_t count, void* stream) {
    CALL("cuMemsetD32Async", "%llu %u %zu %d", (unsigned long long)target, value, count,
         (int)(uintptr_t)stream);
    for (size_t i = 0; i < count; ++i) {
        memcpy((char*)(uintptr_t)target + 4 * i, &value, 4);
    }
    cleared = target;
    ++clears;
    return 0;
}
API int cuStreamCreate(void** stream, unsigned flags) {
    *stream = handle();
    CALL("cuStreamCreate", "%d %u", (int)(uintptr_t)*stream, flags);
    return 0;
}
API int cuStreamDestroy_v2(void* stream) {
    CALL("cuStreamDestroy_v2", "%d", (int)(uintptr_t)stream);
    return 0;
}
API int cuStreamSynchronize(void* stream) {
    CALL("cuStreamSynchronize", "%d", (int)(uintptr_t)stream);
    return 0;
}
API int cuStreamWaitEvent(void* stream, void* event, unsigned flags) {
    CALL("cuStreamWaitEvent", "%d %d %u", (int)(uintptr_t)stream, (int)(uintptr_t)event, flags);
    return 0;
}
API int cuEventCreate(void** event, unsigned flags) {
    *event = handle();
    CALL("cuEventCreate", "%d %u", (int)(uintptr_t)*event, flags);
    return 0;
}
API int cuEventDestroy_v2(void* event) {
    CALL("cuEventDestroy_v2", "%d", (int)(uintptr_t)event);
    return 0;
}
API int cuEventRecord(void* event, void* stream) {
    CALL("cuEventRecord", "%d %d", (int)(uintptr_t)event, (int)(uintptr_t)stream);
    return 0;
}
API int cuEventSynchronize(void* event) {
    CALL("cuEventSynchronize", "%d", (int)(uintptr_t)event);
    return 0;
}
API int cuStreamBeginCapture_v2(void* stream, int mode) {
    CALL("cuStreamBeginCapture_v2", "%d %d", (int)(uintptr_t)stream, mode);
    captured = stream;
    return 0;
}
API int cuStreamEndCapture(void* stream, void** graph) {
    captured = NULL;
    CALL("cuStreamEndCapture", "%d", (int)(uintptr_t)stream);
    *graph = handle();
    return 0;
}
API int cuGraphInstantiateWithFlags(void** recording, void* graph, unsigned long long flags) {
    *recording = handle();
    clears_of[(uintptr_t)*recording % (1 << 16)] = cleared;
    CALL("cuGraphInstantiateWithFlags", "%d %d %llu", (int)(uintptr_t)*recording,
         (int)(uintptr_t)graph, flags);
    return 0;
}
API int cuGraphDestroy(void* graph) {
    CALL("cuGraphDestroy", "%d", (int)(uintptr_t)graph);
    return 0;
}
API int cuGraphExecDestroy(void* recording) {
    CALL("cuGraphExecDestroy", "%d", (int)(uintptr_t)recording);
    return 0;
}
API int cuGraphLaunch(void* recording, void* stream) {
    CALL("cuGraphLaunch", "%d %d", (int)(uintptr_t)recording, (int)(uintptr_t)stream);
    const int flag = number("DOUBLE_FLAG", 0);
    const uint64_t target = clears_of[(uintptr_t)recording % (1 << 16)];
    if (target) {
        memcpy((void*)(uintptr_t)target, &flag, sizeof flag);
    }
    return 0;
}
API int cuLaunchKernel(void* function, unsigned x, unsigned y, unsigned z, unsigned threads,
                       unsigned threads_y, unsigned threads_z, unsigned shared, void* stream,
                       void** values, void** extra) {
    char text[2048] = "";
    struct kernel* kernel = &kernels[(uintptr_t)function];
    for (int i = 0, at = 0; i < kernel->count; ++i) {
        at += snprintf(text + at, sizeof text - at, " %d:%llu", kernel->sizes[i],
                       (unsigned long long)field(values[i], kernel->sizes[i]));
    }
    CALL("cuLaunchKernel", "%d %u %u %u %u %u %d %d%s", (int)(uintptr_t)function, x, y, z, threads,
         shared, (int)(uintptr_t)stream, captured == stream, text);
    if (captured && !kernel->launched) {
        return 900;
    }
    kernel->launched = 1;
    return threads_y != 1 || threads_z != 1 || extra ? 1 : 0;
}
API int cuGetErrorName(int code, const char** name) {
    *name = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : code == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS"
          : code == 209 ? "CUDA_ERROR_NO_BINARY_FOR_GPU" : NULL;
    return 0;
}
API int cuGetErrorString(int code, const char** text) {
    *text = code == 700 ? "an illegal memory access was encountered" : NULL;
    return 0;
}
