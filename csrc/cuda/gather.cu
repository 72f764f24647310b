// Rectangles read from a map and its patches on the GPU: some threads per position, 16 bytes at a time where they can.
#include <algorithm>
#include <cstring>

#include "cuda/launch.cuh"
#include "kernels.h"
#include "patches.h"

namespace zfcuda::cuda {
namespace {

constexpr int kEach = 4;  // units that a thread moves at most, for one search of their window

using Bytes16 = Pack<uint64_t, 2>;

// T: an element or 16 bytes of them, a unit.
template <class T, class I>
struct GatherPatches {
  const T* base;
  const T* patches;
  const int64_t* have;
  const int64_t* want;
  T* output;
  I units;    // of a position
  I threads;  // of a position: consecutive ones on consecutive units
  int64_t windows, kept, height, width;
  T blank;

  // Where output row `row` is copied from; null: from nowhere. Nothing was checked: anything may stand in the tables.
  ZFCUDA_HOST_DEVICE const T* source(I row) const {
    if (windows == 0) return nullptr;
    const int64_t i = Rectangle::last_from(want, windows, row);
    const Rectangle w = Rectangle::of(want, i);
    if (w.empty() || w.start < 0 || w.start > row) return nullptr;
    const I offset = row - static_cast<I>(w.start);
    // A row that is wider is not left, so its width is not needed.
    const uint64_t rest = static_cast<uint64_t>(offset) + 1;
    const I columns = static_cast<I>(w.width() < rest ? w.width() : rest), down = offset / columns;
    if (static_cast<uint64_t>(down) >= w.height()) return nullptr;
    const int64_t y = w.top + down, x = w.left + offset % columns;
    if (y < 0 || y >= height || x < 0 || x >= width) return nullptr;
    const Rectangle h = Rectangle::of(have, i);
    if (!h.holds(y, x)) return base + (y * width + x) * units;
    const uint64_t place = h.place(y, x);
    return place < static_cast<uint64_t>(kept) ? patches + static_cast<int64_t>(place) * units : nullptr;
  }

  ZFCUDA_HOST_DEVICE void operator()(I i) const {
    const I row = i / threads, first = i % threads;
    const T* from = source(row);
    T* to = output + static_cast<int64_t>(row) * units;
    // All reads before the first write, so that they overlap.
    T values[kEach];
    for (int k = 0; k < kEach; ++k) {
      const I unit = first + k * threads;
      values[k] = from != nullptr && unit < units ? from[unit] : blank;
    }
    for (int k = 0; k < kEach; ++k) {
      const I unit = first + k * threads;
      if (unit < units) to[unit] = values[k];
    }
  }
};

// The fill as an element of `type`, repeated.
Bytes16 repeated(double fill, at::ScalarType type) {
  Bytes16 bytes;
  with_type(type, [&](auto* t) {
    using T = std::remove_pointer_t<decltype(t)>;
    Pack<T, 16 / sizeof(T)> elements;
    for (T& element : elements.of) element = static_cast<T>(fill);
    std::memcpy(&bytes, &elements, sizeof(bytes));
  });
  return bytes;
}

}  // namespace

void gather_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want, double fill,
                    Tensor& output) {
  if (output.numel() == 0) return;
  const Bytes16 blank = repeated(fill, base.scalar_type());
  const int64_t rows = output.size(0), bytes = base.size(1) * base.element_size();
  // Only copied, so only the size of an element counts.
  const auto run = [&](auto unit) {
    using T = decltype(unit);
    const int64_t units = bytes / static_cast<int64_t>(sizeof(T));
    // A warp of threads, more where that leaves each more than kEach units; in equal shares.
    const int64_t share = std::min<int64_t>(kEach, (units + 31) / 32), threads = (units + share - 1) / share;
    T first;
    std::memcpy(&first, &blank, sizeof(T));
    with_index(output.numel(), kEach * threads, [&](auto index) {
      using I = decltype(index);
      each<I>(static_cast<I>(rows * threads), output,
              GatherPatches<T, I>{static_cast<const T*>(base.const_data_ptr()),
                                  static_cast<const T*>(patches.const_data_ptr()), have.const_data_ptr<int64_t>(),
                                  want.const_data_ptr<int64_t>(), static_cast<T*>(output.mutable_data_ptr()),
                                  static_cast<I>(units), static_cast<I>(threads), want.size(0), patches.size(0),
                                  base.size(2), base.size(3), first});
    });
  };
  const bool packs = bytes % 16 == 0 && aligned(base.const_data_ptr()) && aligned(patches.const_data_ptr()) &&
                     aligned(output.const_data_ptr());
  if (packs) return run(Bytes16{});
  switch (base.element_size()) {
    case 2: run(uint16_t{}); break;
    case 4: run(uint32_t{}); break;
    default: run(uint64_t{}); break;
  }
}

}  // namespace zfcuda::cuda
