// The way back through a convolution whose output was pooled, on the CPU.
#include "cpu/conv_winners.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "cpu/huge_pages.h"
#include "cpu/parallel.h"

#define ZFCUDA_LOOPS "cpu/conv_winners_loops.inl"
#include "cpu/foreach_isa.inl"

namespace zfcuda::cpu {

void conv_winners(const at::Tensor& grad, const at::Tensor& switches, const at::Tensor& gate, const at::Tensor& input,
                  const at::Tensor& weight, const WindowAxis& y, const WindowAxis& x, const Pooling& pooling,
                  at::Tensor& grad_input, at::Tensor& grad_weight, at::Tensor& grad_bias) {
  int64_t lanes = baseline::kWinnerLanes;
#if defined(__x86_64__)
  if (chosen_isa() == Isa::avx512) lanes = avx512::kWinnerLanes;
  if (chosen_isa() == Isa::avx2) lanes = avx2::kWinnerLanes;
#endif
  const int64_t outputs = pooling.channels, channels = input.size(1), run = x.kernel * channels;
  const int64_t pitch = (run + lanes - 1) / lanes * lanes, runs = outputs * y.kernel, batch = pooling.batch;
  const auto options = weight.options().memory_format(std::nullopt);
  at::Tensor filters = at::zeros({runs, pitch}, options);
  filters.narrow(1, 0, run).copy_(weight.permute({0, 2, 3, 1}).reshape({runs, run}));
  // The images are shared out among the threads, and what each has summed is added up in their order: for one number of
  // threads always the same, for another the last bits of the filters' gradient differ.
  const int64_t parts = std::min<int64_t>(at::get_num_threads(), batch);
  at::Tensor sums = at::empty({parts, runs, pitch}, options), biases = at::empty({parts, outputs}, options.dtype(at::kDouble));
  if (grad_input.numel() > 0) use_huge_pages(grad_input);

  const WinnersConv p{grad.const_data_ptr<float>(),
                      gate.const_data_ptr<float>(),
                      switches.const_data_ptr<uint8_t>(),
                      input.const_data_ptr<float>(),
                      grad_input.numel() > 0 ? grad_input.mutable_data_ptr<float>() : nullptr,
                      filters.const_data_ptr<float>(),
                      sums.mutable_data_ptr<float>(),
                      biases.mutable_data_ptr<double>(),
                      channels,
                      y,
                      x,
                      pooling,
                      pitch};
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) ZFCUDA_ISA_CALL(winners_part(p, i, i * batch / parts, (i + 1) * batch / parts));
  });

  const float* const summed = sums.const_data_ptr<float>();
  float* const to = grad_weight.mutable_data_ptr<float>();
  parallel(runs, run * parts, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t i = 0; i < run; ++i) {
        float sum = summed[r * pitch + i];
        for (int64_t part = 1; part < parts; ++part) sum += summed[(part * runs + r) * pitch + i];
        to[r * run + i] = sum;
      }
  });
  for (int64_t c = 0; c < outputs; ++c) {
    double sum = 0;
    for (int64_t part = 0; part < parts; ++part) sum += biases.const_data_ptr<double>()[part * outputs + c];
    grad_bias.mutable_data_ptr<float>()[c] = static_cast<float>(sum);
  }
}

}  // namespace zfcuda::cpu
