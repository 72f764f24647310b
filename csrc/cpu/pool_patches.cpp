// Max and sum pooling of maps that differ from a base in a patch, on the CPU.
#include "cpu/pool_patches.h"

#include <vector>

#include "cpu/huge_pages.h"
#include "cpu/parallel.h"
#include "cpu/tables.h"
#include "kernels.h"

#define ZFCUDA_LOOPS "cpu/pool_patches_loops.h"
#include "cpu/foreach_isa.h"

namespace zfcuda::cpu {

void pool_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want, const Side& y,
                  const Side& x, bool sum, Tensor& output) {
  constexpr int64_t at_once = 32;  // rows whose inputs are looked up before any is read
  const int64_t n = want.size(0), rows = output.size(0), channels = base.size(1), width = base.size(3);
  const int64_t* const held = have.const_data_ptr<int64_t>();
  const int64_t* const wanted = want.const_data_ptr<int64_t>();
  check_tables(held, wanted, n, base, patches.size(0), rows);
  check_wanted(wanted, n, y.outputs(), x.outputs());
  if (output.numel() == 0) return;
  use_huge_pages(output);
  ZFCUDA_DISPATCH(base, "pool_patches", [&] {
    const scalar_t* const map = base.const_data_ptr<scalar_t>();
    const scalar_t* const patch = patches.const_data_ptr<scalar_t>();
    scalar_t* const out = output.mutable_data_ptr<scalar_t>();
    parallel(rows, channels * y.taps * x.taps, [&](int64_t begin, int64_t end) {
      std::vector<const scalar_t*> inputs;
      std::vector<int32_t> counts;
      int64_t first = begin;
      each_wanted(wanted, n, begin, end, [&](int64_t row, int64_t window, int64_t oy, int64_t ox) {
        const Rectangle h = Rectangle::of(held, window);
        const size_t before = inputs.size();
        for (int64_t ky = 0; ky < y.taps; ++ky) {
          const auto iy = static_cast<int64_t>(y.input(oy, ky));
          if (iy < 0 || iy >= y.inputs) continue;
          for (int64_t kx = 0; kx < x.taps; ++kx) {
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
