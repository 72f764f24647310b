// Local response normalisation and its gradient on the CPU.
#include "cpu/parallel.h"
#include "kernels.h"

#define ZFCUDA_LOOPS "cpu/lrn_loops.inl"
#include "cpu/foreach_isa.inl"

namespace zfcuda::cpu {
namespace {

// Pixels (channels_last) or pieces of an image (NCHW): what the loops count in.
template <class T>
int64_t items_of(const Tensor& t, bool channels_last) {
  const int64_t area = t.size(2) * t.size(3);
  return t.size(0) * (channels_last ? area : baseline::lrn_pieces<T>(t.size(1), area));
}

}  // namespace

void Kernels::lrn(const Tensor& input, const Norm& norm, bool channels_last, Tensor& output) {
  ZFCUDA_DISPATCH(input, "local_response_norm", [&] {
    const scalar_t* in = input.const_data_ptr<scalar_t>();
    scalar_t* out = output.mutable_data_ptr<scalar_t>();
    const int64_t channels = input.size(1), area = input.size(2) * input.size(3);
    const int64_t items = items_of<scalar_t>(input, channels_last);
    parallel(items, input.numel() / items, [&](int64_t b, int64_t e) {
      ZFCUDA_ISA_CALL(lrn_run(in, channels, area, norm, channels_last, out, b, e));
    });
  });
}

void Kernels::lrn_backward(const Tensor& grad, const Tensor& input, const Norm& norm, bool channels_last,
                           Tensor& output) {
  ZFCUDA_DISPATCH(input, "local_response_norm_backward", [&] {
    const scalar_t* g = grad.const_data_ptr<scalar_t>();
    const scalar_t* in = input.const_data_ptr<scalar_t>();
    scalar_t* out = output.mutable_data_ptr<scalar_t>();
    const int64_t channels = input.size(1), area = input.size(2) * input.size(3);
    const int64_t items = items_of<scalar_t>(input, channels_last);
    parallel(items, input.numel() / items, [&](int64_t b, int64_t e) {
      ZFCUDA_ISA_CALL(lrn_backward_run(g, in, channels, area, norm, channels_last, out, b, e));
    });
  });
}

}  // namespace zfcuda::cpu
