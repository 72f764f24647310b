// Pooling of patches: what its loops (pool_patches_loops.h) are given.
#pragma once

#include <cstdint>

namespace zfcuda::cpu {

// A batch of output rows, and the rows of channels that each of them is the largest, or the sum, of.
template <class T>
struct PooledRows {
  const T* const* inputs;  // the first row's, then the second's, ...
  const int32_t* counts;   // of the inputs of each row
  int64_t rows, channels;
  bool sum;
  T* output;
};

}  // namespace zfcuda::cpu
