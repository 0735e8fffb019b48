// NVIDIA's driver API, found when it is first asked for: the library links with nothing of it.
//
// Declared here are only the functions that are used, as cuda.h of CUDA 11.4 and later has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace imagen_fast::cuda {

using CUresult = int;
using CUdevice = int;
using CUdeviceptr = std::uint64_t;
struct Opaque;
using CUcontext = Opaque*;
using CUmodule = Opaque*;
using CUfunction = Opaque*;
using CUstream = Opaque*;
using CUevent = Opaque*;
using CUgraph = Opaque*;
using CUgraphExec = Opaque*;

constexpr CUresult kNoMemory = 2;
// CUdevice_attribute
constexpr int kMultiprocessors = 16, kMajor = 75, kMinor = 76, kMostShared = 97;
constexpr int kDynamicShared = 8;     // CUfunction_attribute
constexpr unsigned kNonBlocking = 1;  // of streams
constexpr unsigned kNoTiming = 2;     // of events
constexpr unsigned kPortable = 1;     // pinned for all contexts
constexpr int kMemoryType = 2;        // CUpointer_attribute
constexpr unsigned kHostMemory = 1;   // CUmemorytype: pinned
constexpr int kThisThread = 1;        // CU_STREAM_CAPTURE_MODE_THREAD_LOCAL

// X(function, parameters)
#define IMAGEN_FAST_CUDA(X)                                                                     \
    X(cuInit, (unsigned))                                                                       \
    X(cuDeviceGetCount, (int*))                                                                 \
    X(cuDeviceGet, (CUdevice*, int))                                                            \
    X(cuDeviceGetName, (char*, int, CUdevice))                                                  \
    X(cuDeviceGetAttribute, (int*, int, CUdevice))                                              \
    X(cuDevicePrimaryCtxRetain, (CUcontext*, CUdevice))                                         \
    X(cuDevicePrimaryCtxRelease_v2, (CUdevice))                                                 \
    X(cuCtxPushCurrent_v2, (CUcontext))                                                         \
    X(cuCtxPopCurrent_v2, (CUcontext*))                                                         \
    X(cuModuleLoadData, (CUmodule*, const void*))                                               \
    X(cuModuleUnload, (CUmodule))                                                               \
    X(cuModuleGetFunction, (CUfunction*, CUmodule, const char*))                                \
    X(cuFuncSetAttribute, (CUfunction, int, int))                                               \
    X(cuMemGetInfo_v2, (std::size_t*, std::size_t*))                                            \
    X(cuMemAlloc_v2, (CUdeviceptr*, std::size_t))                                               \
    X(cuMemFree_v2, (CUdeviceptr))                                                              \
    X(cuMemHostAlloc, (void**, std::size_t, unsigned))                                          \
    X(cuPointerGetAttribute, (void*, int, CUdeviceptr))                                         \
    X(cuMemFreeHost, (void*))                                                                   \
    X(cuMemcpyHtoDAsync_v2, (CUdeviceptr, const void*, std::size_t, CUstream))                  \
    X(cuMemcpyDtoHAsync_v2, (void*, CUdeviceptr, std::size_t, CUstream))                        \
    X(cuMemsetD32Async, (CUdeviceptr, unsigned, std::size_t, CUstream))                         \
    X(cuStreamCreate, (CUstream*, unsigned))                                                    \
    X(cuStreamDestroy_v2, (CUstream))                                                           \
    X(cuStreamSynchronize, (CUstream))                                                          \
    X(cuStreamWaitEvent, (CUstream, CUevent, unsigned))                                         \
    X(cuEventCreate, (CUevent*, unsigned))                                                      \
    X(cuEventDestroy_v2, (CUevent))                                                             \
    X(cuEventRecord, (CUevent, CUstream))                                                       \
    X(cuEventSynchronize, (CUevent))                                                            \
    X(cuStreamBeginCapture_v2, (CUstream, int))                                                 \
    X(cuStreamEndCapture, (CUstream, CUgraph*))                                                 \
    X(cuGraphInstantiateWithFlags, (CUgraphExec*, CUgraph, unsigned long long))                 \
    X(cuGraphDestroy, (CUgraph))                                                                \
    X(cuGraphExecDestroy, (CUgraphExec))                                                        \
    X(cuGraphLaunch, (CUgraphExec, CUstream))                                                   \
    X(cuLaunchKernel,                                                                           \
      (CUfunction, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, CUstream,\
       void**, void**))                                                                         \
    X(cuGetErrorName, (CUresult, const char**))                                                 \
    X(cuGetErrorString, (CUresult, const char**))

struct Driver {
#define IMAGEN_FAST_FIELD(name, parameters) CUresult(*name) parameters = nullptr;
    IMAGEN_FAST_CUDA(IMAGEN_FAST_FIELD)
#undef IMAGEN_FAST_FIELD

    // Throws MemoryError or DeviceError with the driver's name and text of an error, after `what`
    // was tried.
    void check(CUresult, const std::string& what) const;
    std::string text(CUresult) const;
};

// The one of this process, made ready on first use; stays to the end. Throws BackendError: there is
// none here, it is too old, or it does not work.
const Driver& driver();

}  // namespace imagen_fast::cuda
