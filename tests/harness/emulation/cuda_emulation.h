// A small model of CUDA's execution: what the .cu files use of it, on the CPU, so that the host compiler and its sanitizers
// see the very kernels. Included before every .cu. One grid at a time; blocks and the threads of a block in a shuffled order;
// a thread runs until its next barrier.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __shared__  // only `extern`: the runtime defines the one array
#define __align__(n) __attribute__((aligned(n)))
#define __syncthreads() emulation::barrier(__LINE__)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1) : x(x), y(1), z(1) {}
};

using cudaStream_t = void*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9, cudaErrorLaunchFailure = 719 };

struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};

extern dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace emulation {

extern int64_t int32_elements;  // above it the kernels count in 64 bits
extern int planted;             // which bug of test_emulation.py acts; 0: none

void barrier(int line);
// name: of the kernel, in the compiler's words.
cudaError_t run(const cudaLaunchConfig_t& config, const char* name, void (*thread)(void*), void* kernel);
const char* error();  // why the last launch failed

}  // namespace emulation

#define ZFCUDA_INT32_ELEMENTS emulation::int32_elements

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  auto thread = [&] { kernel(arguments...); };
  const auto run = [](void* call) { (*static_cast<decltype(thread)*>(call))(); };
  return emulation::run(*config, __PRETTY_FUNCTION__, run, &thread);
}

struct cudaFuncAttributes {};
template <class Kernel>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, Kernel) {
  return cudaSuccess;
}
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
