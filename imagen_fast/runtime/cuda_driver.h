// NVIDIA's driver API, found when it is first asked for: the library links with nothing of it.
//
// Declared here are only the functions that are used, as cuda.h of CUDA 11.4 and later has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace imagen_fast::cuda {

using Code = int;      // CUresult
using Number = int;    // CUdevice
using Address = std::uint64_t;  // CUdeviceptr
struct Opaque;
using Context = Opaque*;
using Module = Opaque*;
using Function = Opaque*;
using Stream = Opaque*;
using Event = Opaque*;
using Graph = Opaque*;
using Recording = Opaque*;  // CUgraphExec

constexpr Code kNoMemory = 2;
// CUdevice_attribute
constexpr int kMultiprocessors = 16, kMajor = 75, kMinor = 76, kMostShared = 97;
constexpr int kDynamicShared = 8;     // CUfunction_attribute
constexpr unsigned kNonBlocking = 1;  // of streams
constexpr unsigned kNoTiming = 2;     // of events
constexpr unsigned kPortable = 1;     // pinned for all contexts
constexpr int kMemoryType = 2;        // CUpointer_attribute
constexpr unsigned kHostMemory = 1;   // CUmemorytype: pinned
constexpr int kThisThread = 1;        // other threads may do what would end a recording

// X(name, symbol, parameters)
#define IMAGEN_FAST_CUDA(X)                                                                        \
    X(init, "cuInit", (unsigned))                                                                  \
    X(device_count, "cuDeviceGetCount", (int*))                                                    \
    X(device_get, "cuDeviceGet", (Number*, int))                                                   \
    X(device_name, "cuDeviceGetName", (char*, int, Number))                                        \
    X(device_attribute, "cuDeviceGetAttribute", (int*, int, Number))                               \
    X(context_retain, "cuDevicePrimaryCtxRetain", (Context*, Number))                              \
    X(context_release, "cuDevicePrimaryCtxRelease_v2", (Number))                                   \
    X(context_push, "cuCtxPushCurrent_v2", (Context))                                              \
    X(context_pop, "cuCtxPopCurrent_v2", (Context*))                                               \
    X(context_finish, "cuCtxSynchronize", ())                                                      \
    X(module_load, "cuModuleLoadData", (Module*, const void*))                                     \
    X(module_unload, "cuModuleUnload", (Module))                                                   \
    X(module_function, "cuModuleGetFunction", (Function*, Module, const char*))                    \
    X(function_set, "cuFuncSetAttribute", (Function, int, int))                                    \
    X(memory_free_total, "cuMemGetInfo_v2", (std::size_t*, std::size_t*))                          \
    X(memory_take, "cuMemAlloc_v2", (Address*, std::size_t))                                       \
    X(memory_give, "cuMemFree_v2", (Address))                                                      \
    X(host_take, "cuMemHostAlloc", (void**, std::size_t, unsigned))                                \
    X(pointer_attribute, "cuPointerGetAttribute", (void*, int, Address))                           \
    X(host_give, "cuMemFreeHost", (void*))                                                         \
    X(copy_in, "cuMemcpyHtoD_v2", (Address, const void*, std::size_t))                             \
    X(copy_in_later, "cuMemcpyHtoDAsync_v2", (Address, const void*, std::size_t, Stream))          \
    X(copy_out_later, "cuMemcpyDtoHAsync_v2", (void*, Address, std::size_t, Stream))               \
    X(fill_later, "cuMemsetD32Async", (Address, unsigned, std::size_t, Stream))                    \
    X(stream_make, "cuStreamCreate", (Stream*, unsigned))                                          \
    X(stream_end, "cuStreamDestroy_v2", (Stream))                                                  \
    X(stream_finish, "cuStreamSynchronize", (Stream))                                              \
    X(stream_wait, "cuStreamWaitEvent", (Stream, Event, unsigned))                                 \
    X(event_make, "cuEventCreate", (Event*, unsigned))                                             \
    X(event_end, "cuEventDestroy_v2", (Event))                                                     \
    X(event_record, "cuEventRecord", (Event, Stream))                                              \
    X(event_finish, "cuEventSynchronize", (Event))                                                 \
    X(recording_begin, "cuStreamBeginCapture_v2", (Stream, int))                                   \
    X(recording_stop, "cuStreamEndCapture", (Stream, Graph*))                                      \
    X(graph_ready, "cuGraphInstantiateWithFlags", (Recording*, Graph, unsigned long long))         \
    X(graph_end, "cuGraphDestroy", (Graph))                                                        \
    X(recording_end, "cuGraphExecDestroy", (Recording))                                            \
    X(replay, "cuGraphLaunch", (Recording, Stream))                                                \
    X(launch, "cuLaunchKernel",                                                                    \
      (Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Stream,     \
       void**, void**))                                                                            \
    X(error_name, "cuGetErrorName", (Code, const char**))                                          \
    X(error_text, "cuGetErrorString", (Code, const char**))

struct Driver {
#define IMAGEN_FAST_FIELD(name, symbol, parameters) Code(*name) parameters = nullptr;
    IMAGEN_FAST_CUDA(IMAGEN_FAST_FIELD)
#undef IMAGEN_FAST_FIELD

    // Throws MemoryError or DeviceError with the driver's name and text of an error, after `what`
    // was tried.
    void check(Code, const std::string& what) const;
    std::string text(Code) const;
};

// The one of this process, made ready on first use; stays to the end. Throws BackendError: there is
// none here, it is too old, or it does not work.
const Driver& driver();

}  // namespace imagen_fast::cuda
