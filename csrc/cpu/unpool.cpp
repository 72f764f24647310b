// Unpooling by switches on the CPU.
#include "cpu/caches.h"
#include "cpu/parallel.h"
#include "kernels.h"

#define ZFCUDA_LOOPS "cpu/unpool_loops.inl"
#include "cpu/foreach_isa.inl"

namespace zfcuda::cpu {

void Kernels::max_unpool(const Tensor& input, const Tensor& switches, const Tensor* gate, const Pooling& p,
                         bool channels_last, Tensor& output) {
  const bool past = output.nbytes() >= kBeyondCaches;
  ZFCUDA_DISPATCH(input, "max_unpool2d", [&] {
    const scalar_t* in = input.const_data_ptr<scalar_t>();
    const scalar_t* passes = gate == nullptr ? nullptr : gate->const_data_ptr<scalar_t>();
    const uint8_t* at = switches.const_data_ptr<uint8_t>();
    scalar_t* out = output.mutable_data_ptr<scalar_t>();
    if (channels_last)
      parallel(p.batch * p.y.inputs, p.x.inputs * p.channels,
               [&](int64_t b, int64_t e) { ZFCUDA_ISA_CALL(unpool_nhwc(in, at, passes, p, out, b, e, past)); });
    else
      parallel(p.batch * p.channels * p.y.inputs, p.x.inputs,
               [&](int64_t b, int64_t e) { ZFCUDA_ISA_CALL(unpool_nchw(in, at, passes, p, out, b, e, past)); });
  });
}

}  // namespace zfcuda::cpu
