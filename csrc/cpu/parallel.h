// Splits work among the threads, in pieces large enough to be worth a thread.
#pragma once

#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>

namespace zfcuda::cpu {

// As at::internal::GRAIN_SIZE: elements that are worth a thread.
constexpr int64_t kGrain = 32768;

// `body(begin, end)` over `items`, each of which touches about `cost` elements.
template <class Body>
void parallel(int64_t items, int64_t cost, const Body& body) {
  at::parallel_for(0, items, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, cost)), body);
}

}  // namespace zfcuda::cpu

#define ZFCUDA_DISPATCH(tensor, name, ...) \
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, (tensor).scalar_type(), name, __VA_ARGS__)
