// Rectangles read from a map and its patches on the CPU: as they are, as the rows of a matrix product, or pooled.
#include <vector>

#include "cpu/huge_pages.h"
#include "cpu/parallel.h"
#include "cpu/patch_lines.h"
#include "cpu/tables.h"
#include "kernels.h"

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

#define ZFCUDA_LOOPS "cpu/patches_loops.inl"
#include "cpu/foreach_isa.inl"

namespace zfcuda::cpu {
namespace {

template <class T>
PatchLines<T> lines_of(const Tensor& base, const Tensor& patches, double fill) {
  return {base.const_data_ptr<T>(), patches.const_data_ptr<T>(), base.size(2), base.size(3), base.size(1),
          static_cast<T>(fill)};
}

}  // namespace

void Kernels::gather_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want,
                             double fill, Tensor& output) {
  const int64_t n = want.size(0), rows = output.size(0), channels = base.size(1);
  const int64_t* const held = have.const_data_ptr<int64_t>();
  const int64_t* const wanted = want.const_data_ptr<int64_t>();
  check_tables(held, wanted, n, base, patches.size(0), rows);
  if (output.numel() == 0) return;
  use_huge_pages(output);
  ZFCUDA_DISPATCH(base, "gather_patches", [&] {
    const auto lines = lines_of<scalar_t>(base, patches, fill);
    scalar_t* const out = output.mutable_data_ptr<scalar_t>();
    // Pieces of equal size, wherever they begin and end in a window.
    parallel(rows, channels, [&](int64_t begin, int64_t end) {
      int64_t row = begin;
      for (int64_t i = Rectangle::last_from(wanted, n, begin); row < end; ++i) {
        const Rectangle w = Rectangle::of(wanted, i), h = Rectangle::of(held, i);
        if (w.empty()) continue;
        const auto columns = static_cast<int64_t>(w.width());
        int64_t x = w.left + (row - w.start) % columns;
        for (int64_t y = w.top + (row - w.start) / columns; y < w.bottom && row < end; ++y, x = w.left) {
          const int64_t count = std::min(w.right - x, end - row);
          lines.copy(h, y, x, x + count, out + row * channels);
          row += count;
        }
      }
    });
  });
}

void Kernels::unfold_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want,
                             const WindowAxis& y, const WindowAxis& x, Tensor& output) {
  const int64_t n = want.size(0), rows = output.size(0);
  const int64_t* const held = have.const_data_ptr<int64_t>();
  const int64_t* const wanted = want.const_data_ptr<int64_t>();
  check_tables(held, wanted, n, base, patches.size(0), rows);
  check_wanted(wanted, n, y.outputs, x.outputs);
  if (output.numel() == 0) return;
  use_huge_pages(output);
  // Neighbouring taps are copied together.
  const int64_t run = x.dilation == 1 ? x.kernel : 1;
  ZFCUDA_DISPATCH(base, "unfold_patches", [&] {
    const auto lines = lines_of<scalar_t>(base, patches, 0);
    scalar_t* const out = output.mutable_data_ptr<scalar_t>();
    parallel(rows, output.size(1), [&](int64_t begin, int64_t end) {
      each_wanted(wanted, n, begin, end, [&](int64_t row, int64_t window, int64_t oy, int64_t ox) {
        const Rectangle h = Rectangle::of(held, window);
        scalar_t* to = out + row * output.size(1);
        for (int64_t ky = 0; ky < y.kernel; ++ky)
          for (int64_t kx = 0; kx < x.kernel; kx += run) {
            const auto from = static_cast<int64_t>(x.input(ox, kx));
            to = lines.copy(h, static_cast<int64_t>(y.input(oy, ky)), from, from + run, to);
          }
      });
    });
  });
}

void Kernels::pool_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want,
                           const WindowAxis& y, const WindowAxis& x, bool sum, Tensor& output) {
  constexpr int64_t at_once = 32;  // rows whose inputs are looked up before any is read
  const int64_t n = want.size(0), rows = output.size(0), channels = base.size(1), width = base.size(3);
  const int64_t* const held = have.const_data_ptr<int64_t>();
  const int64_t* const wanted = want.const_data_ptr<int64_t>();
  check_tables(held, wanted, n, base, patches.size(0), rows);
  check_wanted(wanted, n, y.outputs, x.outputs);
  if (output.numel() == 0) return;
  use_huge_pages(output);
  ZFCUDA_DISPATCH(base, "pool_patches", [&] {
    const scalar_t* const map = base.const_data_ptr<scalar_t>();
    const scalar_t* const patch = patches.const_data_ptr<scalar_t>();
    scalar_t* const out = output.mutable_data_ptr<scalar_t>();
    parallel(rows, channels * y.kernel * x.kernel, [&](int64_t begin, int64_t end) {
      std::vector<const scalar_t*> inputs;
      std::vector<int32_t> counts;
      int64_t first = begin;
      each_wanted(wanted, n, begin, end, [&](int64_t row, int64_t window, int64_t oy, int64_t ox) {
        const Rectangle h = Rectangle::of(held, window);
        const size_t before = inputs.size();
        for (int64_t ky = 0; ky < y.kernel; ++ky) {
          const auto iy = static_cast<int64_t>(y.input(oy, ky));
          if (iy < 0 || iy >= y.inputs) continue;
          for (int64_t kx = 0; kx < x.kernel; ++kx) {
            const auto ix = static_cast<int64_t>(x.input(ox, kx));
            if (ix < 0 || ix >= x.inputs) continue;
            inputs.push_back(h.holds(iy, ix) ? patch + static_cast<int64_t>(h.place(iy, ix)) * channels
                                             : map + (iy * width + ix) * channels);
          }
        }
        counts.push_back(static_cast<int32_t>(inputs.size() - before));
        if (row + 1 < end && row + 1 < first + at_once) return;
        const PooledRows<scalar_t> p{inputs.data(), counts.data(), row + 1 - first, channels, sum, out + first * channels};
        ZFCUDA_ISA_CALL(pool_rows(p));
        first = row + 1;
        inputs.clear();
        counts.clear();
      });
    });
  });
}

}  // namespace zfcuda::cpu
