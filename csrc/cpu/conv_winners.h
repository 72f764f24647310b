// The way back through a convolution whose output was pooled: what the loops (conv_winners_loops.inl) are given.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "window.h"

namespace zfcuda::cpu {

// A map [N,C,H,W], its convolution [N,O,h,w], and the pooling of that to [N,O,Ho,Wo], of which the gradient is given. All
// are channels_last, so that a filter's row of taps (its run) is kernel * C numbers that lie together in the map.
// float32 alone: processors multiply bfloat16 in pairs, and torch's dense way back is as fast there.
struct WinnersConv {
  const float *grad, *gate;  // [N,O,Ho,Wo]; a value whose gate is not positive counts for nothing
  const uint8_t* switches;
  const float* input;
  float* grad_input;     // or null
  const float* filters;  // [O][kernel of y][pitch]
  float* sums;           // [parts][O][kernel of y][pitch], the gradient of the filters
  double* bias;          // [parts][O], that of the bias
  int64_t channels;
  WindowAxis y, x;  // of the convolution
  Pooling pooling;
  int64_t pitch;  // numbers from one run to the next, a multiple of the vector's lanes
};

// All tensors of [N,...] and grad_weight are channels_last; grad_input may be without elements.
void conv_winners(const at::Tensor& grad, const at::Tensor& switches, const at::Tensor& gate, const at::Tensor& input,
                  const at::Tensor& weight, const WindowAxis& y, const WindowAxis& x, const Pooling&,
                  at::Tensor& grad_input, at::Tensor& grad_weight, at::Tensor& grad_bias);

}  // namespace zfcuda::cpu
