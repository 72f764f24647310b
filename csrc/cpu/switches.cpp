// Pooling with switches and gathering by switch on the CPU.
#include "cpu/parallel.h"
#include "kernels.h"

#define ZFCUDA_LOOPS "cpu/switches_loops.inl"
#include "cpu/foreach_isa.inl"

namespace zfcuda::cpu {

void Kernels::max_pool(const Tensor& input, const Pooling& p, bool relu, bool channels_last, Tensor& output,
                       Tensor& switches) {
  ZFCUDA_DISPATCH(input, "max_pool2d_with_switches", [&] {
    const scalar_t* in = input.const_data_ptr<scalar_t>();
    scalar_t* out = output.mutable_data_ptr<scalar_t>();
    uint8_t* at = switches.mutable_data_ptr<uint8_t>();
    const int64_t taps = p.y.kernel * p.x.kernel;
    if (channels_last)
      parallel(p.batch * p.y.outputs, p.x.outputs * p.channels * taps,
               [&](int64_t b, int64_t e) { ZFCUDA_ISA_CALL(pool_nhwc(in, p, relu, out, at, b, e)); });
    else
      parallel(p.batch * p.channels * p.y.outputs, p.x.outputs * taps,
               [&](int64_t b, int64_t e) { ZFCUDA_ISA_CALL(pool_nchw(in, p, relu, out, at, b, e)); });
  });
}

void Kernels::gather_by_switch(const Tensor& input, const Tensor& switches, const Tensor* gate, const Pooling& p,
                               bool channels_last, Tensor& output) {
  ZFCUDA_DISPATCH(input, "gather_by_switch", [&] {
    const scalar_t* in = input.const_data_ptr<scalar_t>();
    const scalar_t* passes = gate == nullptr ? nullptr : gate->const_data_ptr<scalar_t>();
    const uint8_t* at = switches.const_data_ptr<uint8_t>();
    scalar_t* out = output.mutable_data_ptr<scalar_t>();
    const int64_t rows = p.batch * p.y.outputs * (channels_last ? 1 : p.channels);
    parallel(rows, output.numel() / rows,
             [&](int64_t b, int64_t e) { ZFCUDA_ISA_CALL(gather(in, at, passes, p, channels_last, out, b, e)); });
  });
}

}  // namespace zfcuda::cpu
