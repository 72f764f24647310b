// The one place that launches kernels and checks them: device, stream, grid, error.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cstdint>
#include <limits>
#include <type_traits>

#include "window.h"

namespace zfcuda::cuda {

constexpr int kThreads = 256;         // of a block; kernels ask blockDim, so that tests/emulation can try fewer
constexpr int64_t kBlocks = 1 << 22;  // of a grid at most: kBlocks * kThreads fits in int32

// Elements that are counted in 32 bits at most: indices may overshoot a tensor by a window or a block. (tests/emulation moves it.)
#ifndef ZFCUDA_INT32_ELEMENTS
#define ZFCUDA_INT32_ELEMENTS (std::numeric_limits<int32_t>::max() - 1024)
#endif

// What elements are computed in.
template <class T>
using Number = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Neighbouring elements that travel together, 16 bytes where they can.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T of[N];
};

// The block's memory of `launch`.
template <class V>
__device__ V* shared_memory() {
  extern __shared__ __align__(16) unsigned char dynamic_shared[];
  return reinterpret_cast<V*>(dynamic_shared);
}

// Runs the kernel on the device of `on`, each block with `shared` bytes of shared memory.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), int64_t blocks, size_t shared, const at::Tensor& on,
            const Arguments&... arguments) {
  const c10::cuda::CUDAGuard guard(on.device());
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks < kBlocks ? blocks : kBlocks));
  config.blockDim = dim3(kThreads);
  config.dynamicSmemBytes = shared;
  config.stream = c10::cuda::getCurrentCUDAStream();
  C10_CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, arguments...));
}

// Calls body(i) for i in [0, n).
template <class I, class Body>
__global__ void __launch_bounds__(kThreads) each_kernel(I n, Body body) {
  const I threads = static_cast<I>(blockDim.x), step = static_cast<I>(gridDim.x) * threads;
  // Ends before i + step could leave I's range.
  for (I i = static_cast<I>(blockIdx.x) * threads + static_cast<I>(threadIdx.x); i < n;) {
    body(i);
    if (n - i <= step) break;
    i += step;
  }
}

template <class I, class Body>
void each(I n, const at::Tensor& on, const Body& body) {
  if (n > 0) launch(each_kernel<I, Body>, (static_cast<int64_t>(n) + kThreads - 1) / kThreads, 0, on, n, body);
}

// Calls f with a value of the narrowest index type for `largest` elements and strides of at most `stride`.
template <class F>
void with_index(int64_t largest, int64_t stride, const F& f) {
  // Not largest + stride, which could overflow.
  if (largest < ZFCUDA_INT32_ELEMENTS - stride)
    f(int32_t{});
  else
    f(int64_t{});
}

inline int64_t largest_stride(const Pooling& p) { return p.y.stride > p.x.stride ? p.y.stride : p.x.stride; }

// Calls f with a null pointer of the element type.
template <class F>
void with_type(at::ScalarType type, const F& f) {
  switch (type) {
    case at::kFloat: f(static_cast<float*>(nullptr)); break;
    case at::kDouble: f(static_cast<double*>(nullptr)); break;
    case at::kHalf: f(static_cast<c10::Half*>(nullptr)); break;
    default: f(static_cast<c10::BFloat16*>(nullptr)); break;  // zfcuda.cpp admits these four
  }
}

// Whether a tensor's memory may be read 16 bytes at a time.
inline bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

}  // namespace zfcuda::cuda
