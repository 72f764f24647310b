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

namespace zfcuda::cuda {

constexpr int kThreads = 256;

// What elements are computed in.
template <class T>
using Number = std::conditional_t<std::is_same_v<T, double>, double, float>;

// Neighbouring elements that travel together, 16 bytes where they can.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T of[N];
};

// Calls body(i) for i in [0, n).
template <class I, class Body>
__global__ void __launch_bounds__(kThreads) each_kernel(I n, Body body) {
  const I step = static_cast<I>(gridDim.x) * kThreads;
  // Ends before i + step could leave I's range.
  for (I i = static_cast<I>(blockIdx.x) * kThreads + threadIdx.x; i < n;) {
    body(i);
    if (n - i <= step) break;
    i += step;
  }
}

template <class I, class Body>
void each(I n, const at::Tensor& on, const Body& body) {
  if (n == 0) return;
  const c10::cuda::CUDAGuard guard(on.device());
  const int64_t wanted = (static_cast<int64_t>(n) + kThreads - 1) / kThreads;
  const auto blocks = static_cast<unsigned>(wanted < (1 << 22) ? wanted : (1 << 22));
  each_kernel<I, Body><<<blocks, kThreads, 0, c10::cuda::getCurrentCUDAStream()>>>(n, body);
  C10_CUDA_KERNEL_LAUNCH_CHECK();
}

// Calls f with a value of the narrowest index type that counts `largest` elements.
template <class F>
void with_index(int64_t largest, const F& f) {
  if (largest < std::numeric_limits<int32_t>::max())
    f(int32_t{});
  else
    f(int64_t{});
}

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
