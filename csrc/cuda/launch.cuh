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

// Loops over register arrays, whose indices have to be constants.
#ifdef __CUDACC__
#define ZFCUDA_UNROLL _Pragma("unroll")
#else
#define ZFCUDA_UNROLL
#endif

namespace zfcuda::cuda {

constexpr int kThreads = 256;         // of a block; kernels ask blockDim, so that tests/harness/emulation can try fewer
constexpr int64_t kBlocks = 1 << 22;  // of a grid at most: kBlocks * kThreads fits in int32

// Elements that are counted in 32 bits at most: indices may overshoot a tensor by a window or a block.
// (tests/harness/emulation moves it.)
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

template <class T>
constexpr int kPack = 16 / static_cast<int>(sizeof(T));

template <int N, class T>
ZFCUDA_HOST_DEVICE Pack<T, N> read(const T* from) {
  return *reinterpret_cast<const Pack<T, N>*>(from);
}
template <class T, int N>
ZFCUDA_HOST_DEVICE void write(T* to, const Pack<T, N>& values) {
  *reinterpret_cast<Pack<T, N>*>(to) = values;
}

// The pointer, of which the compiler may not know how it came about: it would compute the whole sum anew, in 64 bits,
// for each element that is read at a 32-bit offset from it.
template <class T>
ZFCUDA_HOST_DEVICE T* opaque(T* p) {
#ifdef __CUDA_ARCH__
  asm("" : "+l"(p));
  __builtin_assume(__isGlobal(p));
#endif
  return p;
}

// As much of an offset: it would be kept in 64 bits, to be added in two steps instead of one.
ZFCUDA_HOST_DEVICE int opaque(int offset) {
#ifdef __CUDA_ARCH__
  asm volatile("" : "+r"(offset));
#endif
  return offset;
}

// Bytes of shared memory that every GPU gives a block without asking.
constexpr int64_t kShared = 48 * 1024;

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

// Blocks that a multiprocessor has to hold at least, which bounds the registers of a thread; Body::kBlocks where that
// says so.
template <class Body, class = void>
constexpr int kBlocksOf = 2;
template <class Body>
constexpr int kBlocksOf<Body, std::enable_if_t<(Body::kBlocks > 0)>> = Body::kBlocks;

// Calls body(i) for i in [0, n).
template <class I, class Body>
__global__ void __launch_bounds__(kThreads, kBlocksOf<Body>) each_kernel(I n, Body body) {
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

// Whether so many elements can be counted in 32 bits.
inline bool fits_int32(int64_t elements) { return elements < ZFCUDA_INT32_ELEMENTS; }

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

inline const at::Tensor& larger(const at::Tensor& a, const at::Tensor& b) { return a.numel() > b.numel() ? a : b; }

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

// Whether a tensor's memory may be read 16 bytes, or fewer, at a time.
inline bool aligned(const void* p, size_t bytes = 16) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; }

}  // namespace zfcuda::cuda
