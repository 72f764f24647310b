// Rectangles read from a map and its patches on the GPU: as they are, as the rows of a matrix product, or pooled. Some
// threads per position, 16 bytes at a time where they can.
#include <algorithm>
#include <cstring>

#include "cuda/launch.cuh"
#include "kernels.h"
#include "patches.h"

namespace zfcuda::cuda {
namespace {

#include "pooling.inl"

constexpr int kEach = 4;  // units that a thread moves at most, for one search of their window

using Bytes16 = Pack<uint64_t, 2>;

// T: an element or 16 bytes of them, a unit. Nothing in the tables was checked: anything may stand there.
template <class T, class I>
struct Sources {
  const T* base;
  const T* patches;
  const int64_t* have;
  const int64_t* want;
  I units;  // of a position
  int64_t windows, kept, height, width;

  // A position of some window's map; window -1: of none.
  struct Place {
    int64_t window, y, x;
  };

  // What output row `row` stands for.
  ZFCUDA_HOST_DEVICE Place place(I row) const {
    const Place none{-1, 0, 0};
    if (windows == 0) return none;
    const int64_t i = Rectangle::last_from(want, windows, row);
    const Rectangle w = Rectangle::of(want, i);
    if (w.empty() || w.start < 0 || w.start > row) return none;
    const I offset = row - static_cast<I>(w.start);
    // A row that is wider is not left, so its width is not needed.
    const uint64_t rest = static_cast<uint64_t>(offset) + 1;
    const I columns = static_cast<I>(w.width() < rest ? w.width() : rest), down = offset / columns;
    if (static_cast<uint64_t>(down) >= w.height()) return none;
    return {i, w.top + down, w.left + offset % columns};
  }

  // The units of position (y, x) of a window's map; null outside of it. Unsigned: what is negative is too large.
  ZFCUDA_HOST_DEVICE const T* at(const Rectangle& h, uint64_t y, uint64_t x) const {
    if (y >= static_cast<uint64_t>(height) || x >= static_cast<uint64_t>(width)) return nullptr;
    const auto iy = static_cast<int64_t>(y), ix = static_cast<int64_t>(x);
    if (!h.holds(iy, ix)) return base + (iy * width + ix) * units;
    const uint64_t row = h.place(iy, ix);
    return row < static_cast<uint64_t>(kept) ? patches + static_cast<int64_t>(row) * units : nullptr;
  }
};

template <class T, class I>
struct GatherPatches {
  Sources<T, I> sources;
  T* output;
  I threads;  // of a position: consecutive ones on consecutive units
  T blank;

  ZFCUDA_HOST_DEVICE void operator()(I i) const {
    const I row = i / threads, first = i % threads;
    const auto place = sources.place(row);
    const T* from = place.window < 0 ? nullptr
                                     : sources.at(Rectangle::of(sources.have, place.window),
                                                  static_cast<uint64_t>(place.y), static_cast<uint64_t>(place.x));
    T* to = output + static_cast<int64_t>(row) * sources.units;
    // All reads before the first write, so that they overlap.
    T values[kEach];
    for (int k = 0; k < kEach; ++k) {
      const I unit = first + k * threads;
      values[k] = from != nullptr && unit < sources.units ? from[unit] : blank;
    }
    for (int k = 0; k < kEach; ++k) {
      const I unit = first + k * threads;
      if (unit < sources.units) to[unit] = values[k];
    }
  }
};

// One unit of a row of taps: of output row, tap row and unit, the last fastest.
template <class T, class I>
struct UnfoldPatches {
  Sources<T, I> sources;
  T* output;
  WindowAxis y, x;
  T blank;

  ZFCUDA_HOST_DEVICE void operator()(I i) const {
    const I unit = i % sources.units, line = i / sources.units;
    const auto tap_rows = static_cast<I>(y.kernel);
    const I row = line / tap_rows, ky = line % tap_rows;
    const auto place = sources.place(row);
    T* to = output + static_cast<int64_t>(line) * x.kernel * sources.units + unit;
    const Rectangle h = place.window < 0 ? Rectangle{0, 0, 0, 0, 0} : Rectangle::of(sources.have, place.window);
    const uint64_t iy = y.input(place.y, ky);
    for (int64_t kx = 0; kx < x.kernel; kx += kEach) {
      T values[kEach];
      for (int k = 0; k < kEach; ++k) {
        const bool is = place.window >= 0 && kx + k < x.kernel;
        const T* from = is ? sources.at(h, iy, x.input(place.x, kx + k)) : nullptr;
        values[k] = from != nullptr ? from[unit] : blank;
      }
      for (int k = 0; k < kEach; ++k)
        if (kx + k < x.kernel) to[(kx + k) * sources.units] = values[k];
    }
  }
};

// N neighbouring channels of an output row: the largest or the sum of what the window reads.
template <class T, class I, int N, bool Sum>
struct PoolPatches {
  Sources<Pack<T, N>, I> sources;
  Pack<T, N>* output;
  WindowAxis y, x;
  Number<T> start;  // 0, or -infinity

  ZFCUDA_HOST_DEVICE void operator()(I i) const {
    using V = Number<T>;
    const I unit = i % sources.units, row = i / sources.units;
    const auto place = sources.place(row);
    V value[N];
    for (int n = 0; n < N; ++n) value[n] = start;
    if (place.window >= 0) {
      const Rectangle h = Rectangle::of(sources.have, place.window);
      for (int64_t ky = 0; ky < y.kernel; ++ky)
        for (int64_t kx = 0; kx < x.kernel; ++kx) {
          const auto* from = sources.at(h, y.input(place.y, ky), x.input(place.x, kx));
          if (from == nullptr) continue;
          const Pack<T, N> next = from[unit];
          for (int n = 0; n < N; ++n) {
            int nowhere = 0;
            if (Sum)
              value[n] += static_cast<V>(next.of[n]);
            else
              pool_take(static_cast<V>(next.of[n]), 0, value[n], nowhere);
          }
        }
    }
    Pack<T, N> result;
    for (int n = 0; n < N; ++n) result.of[n] = static_cast<T>(value[n]);
    output[i] = result;
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

template <class T, class I>
Sources<T, I> sources_of(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want) {
  return {static_cast<const T*>(base.const_data_ptr()),
          static_cast<const T*>(patches.const_data_ptr()),
          have.const_data_ptr<int64_t>(),
          want.const_data_ptr<int64_t>(),
          static_cast<I>(base.size(1) * base.element_size() / static_cast<int64_t>(sizeof(T))),
          want.size(0),
          patches.size(0),
          base.size(2),
          base.size(3)};
}

bool packs(const Tensor& base, const Tensor& patches, const Tensor& output) {
  return base.size(1) * base.element_size() % 16 == 0 && aligned(base.const_data_ptr()) &&
         aligned(patches.const_data_ptr()) && aligned(output.const_data_ptr());
}

// Calls f with a unit of a position. Only copied, so only the size of an element counts.
template <class F>
void with_unit(bool packed, int64_t element, const F& f) {
  if (packed) return f(Bytes16{});
  switch (element) {
    case 2: f(uint16_t{}); break;
    case 4: f(uint32_t{}); break;
    default: f(uint64_t{}); break;
  }
}

}  // namespace

void Kernels::gather_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want,
                             double fill, Tensor& output) {
  if (output.numel() == 0) return;
  const Bytes16 blank = repeated(fill, base.scalar_type());
  const int64_t rows = output.size(0);
  with_unit(packs(base, patches, output), base.element_size(), [&](auto unit) {
    using T = decltype(unit);
    const int64_t units = base.size(1) * base.element_size() / static_cast<int64_t>(sizeof(T));
    // A warp of threads, more where that leaves each more than kEach units; in equal shares.
    const int64_t share = std::min<int64_t>(kEach, (units + 31) / 32), threads = (units + share - 1) / share;
    T first;
    std::memcpy(&first, &blank, sizeof(T));
    with_index(output.numel(), kEach * threads, [&](auto index) {
      using I = decltype(index);
      each<I>(static_cast<I>(rows * threads), output,
              GatherPatches<T, I>{sources_of<T, I>(base, patches, have, want), static_cast<T*>(output.mutable_data_ptr()),
                                  static_cast<I>(threads), first});
    });
  });
}

void Kernels::unfold_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want,
                             const WindowAxis& y, const WindowAxis& x, Tensor& output) {
  if (output.numel() == 0) return;
  with_unit(packs(base, patches, output), base.element_size(), [&](auto unit) {
    using T = decltype(unit);
    with_index(output.numel(), 0, [&](auto index) {
      using I = decltype(index);
      const auto sources = sources_of<T, I>(base, patches, have, want);
      each<I>(static_cast<I>(output.size(0) * y.kernel * sources.units), output,
              UnfoldPatches<T, I>{sources, static_cast<T*>(output.mutable_data_ptr()), y, x, T{}});
    });
  });
}

void Kernels::pool_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want,
                           const WindowAxis& y, const WindowAxis& x, bool sum, Tensor& output) {
  if (output.numel() == 0) return;
  with_type(base.scalar_type(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const auto run = [&](auto pack, auto summed) {
      constexpr int N = decltype(pack)::value;
      constexpr bool sums = decltype(summed)::value;
      using Unit = Pack<T, N>;
      const Number<T> start = sums ? Number<T>(0) : -std::numeric_limits<Number<T>>::infinity();
      with_index(output.numel(), 0, [&](auto index) {
        using I = decltype(index);
        const auto sources = sources_of<Unit, I>(base, patches, have, want);
        each<I>(static_cast<I>(output.numel() / N), output,
                PoolPatches<T, I, N, sums>{sources, static_cast<Unit*>(output.mutable_data_ptr()), y, x, start});
      });
    };
    const auto choose = [&](auto summed) {
      if (packs(base, patches, output))
        run(std::integral_constant<int, 16 / sizeof(T)>{}, summed);
      else
        run(std::integral_constant<int, 1>{}, summed);
    };
    if (sum)
      choose(std::true_type{});
    else
      choose(std::false_type{});
  });
}

}  // namespace zfcuda::cuda
