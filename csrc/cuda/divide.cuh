// Division by numbers that the host knows: a GPU takes tens of instructions for one that it does not.
#pragma once

#include <cstdint>

#include "window.h"

namespace zfcuda::cuda {

// Divides 0 <= n by a fixed 1 <= d. With 2^(s-1) < d <= 2^s and m = ceil(2^(31+s) / d) < 2^32, n / d is n m / 2^(31+s)
// rounded down for all n < 2^31: m d exceeds 2^(31+s) by less than d <= 2^s, so n m / 2^(31+s) exceeds n / d by less
// than 1 / d.
template <class I>
class Divider;

template <>
class Divider<int32_t> {
 public:
  Divider() = default;
  explicit Divider(int32_t divisor) : divisor_(divisor) {
    while ((uint64_t{1} << shift_) < static_cast<uint64_t>(divisor)) ++shift_;
    const uint64_t d = static_cast<uint64_t>(divisor);
    multiplier_ = static_cast<uint32_t>(((uint64_t{1} << (31 + shift_)) + d - 1) / d);
  }

  ZFCUDA_HOST_DEVICE int32_t quotient(int32_t n) const {
    // The upper half of 2 n m: one instruction.
    const uint64_t product = static_cast<uint64_t>(static_cast<uint32_t>(n) * 2) * multiplier_;
    return static_cast<int32_t>(static_cast<uint32_t>(product >> 32) >> shift_);
  }
  ZFCUDA_HOST_DEVICE int32_t divisor() const { return divisor_; }

 private:
  int32_t divisor_ = 1;
  uint32_t multiplier_ = uint32_t{1} << 31;
  uint32_t shift_ = 0;
};

template <>
class Divider<int64_t> {
 public:
  Divider() = default;
  explicit Divider(int64_t divisor) : divisor_(divisor) {}

  ZFCUDA_HOST_DEVICE int64_t quotient(int64_t n) const { return n / divisor_; }
  ZFCUDA_HOST_DEVICE int64_t divisor() const { return divisor_; }

 private:
  int64_t divisor_ = 1;
};

// Takes the innermost coordinate off a flat index: returns i % d and leaves i / d.
template <class I>
ZFCUDA_HOST_DEVICE I take(I& i, const Divider<I>& by) {
  const I quotient = by.quotient(i), remainder = i - quotient * by.divisor();
  i = quotient;
  return remainder;
}

}  // namespace zfcuda::cuda
