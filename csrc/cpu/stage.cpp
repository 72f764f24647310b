// The fused stage ReLU -> pooling -> local response normalisation on the CPU.
#include "cpu/parallel.h"
#include "kernels.h"

#define ZFCUDA_LOOPS "cpu/stage_loops.inl"
#include "cpu/foreach_isa.inl"

namespace zfcuda::cpu {

void Kernels::relu_max_pool_lrn(const Tensor& input, const Pooling& p, const Norm& norm, bool channels_last,
                                Tensor& output, Tensor& switches, Tensor* pooled) {
  ZFCUDA_DISPATCH(input, "relu_max_pool2d_lrn", [&] {
    const scalar_t* in = input.const_data_ptr<scalar_t>();
    scalar_t* out = output.mutable_data_ptr<scalar_t>();
    uint8_t* at = switches.mutable_data_ptr<uint8_t>();
    scalar_t* kept = pooled == nullptr ? nullptr : pooled->mutable_data_ptr<scalar_t>();
    const int64_t together = baseline::stage_rows(p, norm, at::get_num_threads());
    const int64_t groups = (p.y.outputs + together - 1) / together;
    const int64_t items = p.batch * (channels_last ? p.y.outputs * p.x.outputs : groups);
    parallel(items, input.numel() / items, [&](int64_t b, int64_t e) {
      ZFCUDA_ISA_CALL(stage_run(in, p, norm, channels_last, together, out, at, kept, b, e));
    });
  });
}

}  // namespace zfcuda::cpu
