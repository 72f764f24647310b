// Linear layers on many rows on the CPU, in float32. The weights are read once for all rows.
#include "cpu/linear.h"

#include <vector>

#include "cpu/parallel.h"

#define ZFCUDA_LOOPS "cpu/linear_loops.h"
#include "cpu/foreach_isa.h"

namespace zfcuda::cpu {

void linear_rows(const LinearRows& p) {
  constexpr int64_t widest = 32, rows_at_once = 1024;
  int64_t width = baseline::kPanel;
#if defined(__x86_64__)
  if (chosen_isa() == Isa::avx512) width = avx512::kPanel;
  if (chosen_isa() == Isa::avx2) width = avx2::kPanel;
#endif
  const int64_t panels = (p.outputs + width - 1) / width, parts = (p.rows + rows_at_once - 1) / rows_at_once;
  const int64_t run = p.positions() == 1 ? kRun : p.channels, block = std::max<int64_t>(1, kBlock / run) * run;
  at::parallel_for(0, panels * parts, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> packed(block * widest), sums(std::min(p.rows, rows_at_once) * widest);
    std::vector<int64_t> places(2 * (block / run + 1));
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % parts * p.rows / parts, last = (i % parts + 1) * p.rows / parts;
      ZFCUDA_ISA_CALL(linear_panel(p, i / parts, first, last, packed.data(), sums.data(), places.data()));
    }
  });
}

}  // namespace zfcuda::cpu
