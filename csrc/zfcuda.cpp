// Every operator's schema, and its checks: what is refused is refused here, once for all backends.
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/autograd_not_implemented_fallback.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/library.h>

#include "cpu/conv_patches.h"
#include "cpu/conv_winograd.h"
#include "cpu/conv_winners.h"
#include "cpu/grouped_patches.h"
#include "cpu/linear_rows.h"
#include "cpu/outputs.h"
#include "cpu/pointwise_patches.h"
#include "cpu/tables.h"
#include "cpu/texture.h"
#include "kernels.h"

namespace zfcuda {
namespace {

using at::IntArrayRef;
using at::MemoryFormat;

TORCH_LIBRARY(zfcuda, m) {
  // Public in zfcuda/ops.py.
  m.def(
      "max_pool2d_with_switches(Tensor input, int[2] kernel_size, int[2] stride, int[2] padding, bool ceil_mode, "
      "bool relu) -> (Tensor output, Tensor switches)");
  m.def(
      "max_unpool2d(Tensor input, Tensor switches, int[2] kernel_size, int[2] stride, int[2] padding, "
      "SymInt[2] output_size, Tensor? gate=None) -> Tensor");
  m.def("local_response_norm(Tensor input, int size, float alpha, float beta, float k) -> Tensor");
  m.def(
      "relu_max_pool2d_lrn(Tensor input, int[2] kernel_size, int[2] stride, int[2] padding, bool ceil_mode, "
      "int size, float alpha, float beta, float k, bool keep_pooled) -> (Tensor output, Tensor switches, Tensor pooled)");
  m.def("occlude(Tensor image, Tensor fill, Tensor origins, int[2] window) -> Tensor");
  m.def("pack_filters(Tensor weight, int[2] stride, int[2] dilation, int tile=4) -> Tensor");
  m.def(
      "conv_patches(Tensor base, Tensor patches, Tensor have, Tensor want, SymInt rows, Tensor filters, Tensor? bias, "
      "Tensor? residual, SymInt channels, int[2] kernel_size, int[2] stride, int[2] padding, int[2] dilation, bool relu, "
      "float? ceiling=None) -> Tensor");
  m.def(
      "pointwise_patches(Tensor[] bases, Tensor[] patches, Tensor[] haves, Tensor want, SymInt rows, Tensor filters, "
      "Tensor? bias, Tensor? residual, Tensor? scale, Tensor? shift, bool before_relu, SymInt channels, int[2] stride, "
      "bool relu, float? ceiling=None) -> Tensor");
  m.def("pack_grouped_filters(Tensor weight, SymInt groups) -> Tensor");
  m.def(
      "grouped_patches(Tensor base, Tensor patches, Tensor have, Tensor want, SymInt rows, Tensor filters, Tensor? bias, "
      "Tensor? residual, SymInt channels, SymInt groups, int[2] kernel_size, int[2] stride, int[2] padding, "
      "int[2] dilation, bool relu, float? ceiling=None) -> Tensor");
  m.def("linear_rows(Tensor input, Tensor weight, Tensor? bias, Tensor? have, int[2] size) -> Tensor");
  m.def("gather_patches(Tensor base, Tensor patches, Tensor have, Tensor want, SymInt rows, float fill) -> Tensor");
  m.def(
      "unfold_patches(Tensor base, Tensor patches, Tensor have, Tensor want, SymInt rows, int[2] kernel_size, "
      "int[2] stride, int[2] padding, int[2] dilation) -> Tensor");
  m.def(
      "pool_patches(Tensor base, Tensor patches, Tensor have, Tensor want, SymInt rows, int[2] kernel_size, "
      "int[2] stride, int[2] padding, int[2] dilation, bool sum) -> Tensor");
  m.def(
      "texture_pixels(Tensor(a!) output, Tensor(b!) chosen, Tensor? coarser, Tensor values, Tensor windows, "
      "Tensor order, Tensor centres, Tensor nodes, int radius, int leaves, int first, int last) -> ()");
  // Their gradients.
  m.def(
      "gather_by_switch(Tensor input, Tensor switches, int[2] kernel_size, int[2] stride, int[2] padding, "
      "Tensor? gate=None) -> Tensor");
  m.def(
      "local_response_norm_backward(Tensor grad, Tensor input, int size, float alpha, float beta, float k) -> Tensor");
  m.def(
      "conv_backward_by_switch(Tensor grad, Tensor switches, Tensor gate, Tensor input, Tensor weight, int[2] stride, "
      "int[2] padding, int[2] pool_kernel_size, int[2] pool_stride, int[2] pool_padding, bool input_wanted) -> "
      "(Tensor grad_input, Tensor grad_weight, Tensor grad_bias)");
}

// ---------------------------------------------------------------- checks

void check_image(const Tensor& t, const char* name) {
  TORCH_CHECK(t.dim() == 4, name, ": expected [N,C,H,W], got ", t.dim(), " dimensions, shape ", t.sizes());
  const auto type = t.scalar_type();
  TORCH_CHECK(type == at::kFloat || type == at::kDouble || type == at::kHalf || type == at::kBFloat16, name,
              ": expected float32, float64, float16 or bfloat16, got ", type);
}

void check_pair(IntArrayRef pair, const char* name, int64_t least) {
  TORCH_CHECK(pair.size() == 2, name, ": expected one or two integers, got ", pair);
  TORCH_CHECK(pair[0] >= least && pair[1] >= least, name, ": expected at least ", least, ", got ", pair);
}

// A pair of integers whose product does not overflow.
void check_small_pair(IntArrayRef pair, const char* name, int64_t least) {
  check_pair(pair, name, least);
  TORCH_CHECK(pair[0] <= INT32_MAX && pair[1] <= INT32_MAX, name, ": expected at most ", INT32_MAX, ", got ", pair);
}

void check_window(IntArrayRef kernel, IntArrayRef stride, IntArrayRef padding) {
  check_pair(kernel, "kernel_size", 1);
  check_small_pair(stride, "stride", 1);
  check_pair(padding, "padding", 0);
  TORCH_CHECK(kernel[0] <= 256 && kernel[1] <= 256 && kernel[0] * kernel[1] <= 256,
              "kernel_size: a switch is one byte, so a window has at most 256 elements, got ", kernel);
  TORCH_CHECK(padding[0] <= kernel[0] / 2 && padding[1] <= kernel[1] / 2,
              "padding: expected at most half of kernel_size ", kernel, ", got ", padding);
}

void check_same(const Tensor& t, const char* name, const Tensor& model, const char* model_name) {
  TORCH_CHECK(t.sizes() == model.sizes(), name, ": expected ", model_name, "'s shape ", model.sizes(), ", got ",
              t.sizes());
  TORCH_CHECK(t.device() == model.device(), name, ": expected ", model_name, "'s device ", model.device(), ", got ",
              t.device());
}

void check_switches(const Tensor& switches, const Tensor& input) {
  TORCH_CHECK(switches.scalar_type() == at::kByte, "switches: expected uint8, got ", switches.scalar_type());
  TORCH_CHECK(switches.dim() == 4, "switches: expected [N,C,Ho,Wo], got shape ", switches.sizes());
  TORCH_CHECK(switches.device() == input.device(), "switches: expected input's device ", input.device(), ", got ",
              switches.device());
}

void check_gate(const std::optional<Tensor>& gate, const Tensor& switches, const Tensor& input) {
  if (!gate.has_value()) return;
  check_same(*gate, "gate", switches, "switches");
  TORCH_CHECK(gate->scalar_type() == input.scalar_type(), "gate: expected input's dtype ", input.scalar_type(),
              ", got ", gate->scalar_type());
}

void check_fits(double value, const char* name, at::ScalarType type) {
  const bool overflows = type == at::kFloat   ? c10::overflows<float>(value)
                         : type == at::kHalf  ? c10::overflows<c10::Half>(value)
                         : type == at::kBFloat16 && c10::overflows<c10::BFloat16>(value);
  TORCH_CHECK(!overflows, name, ": expected a value that ", type, " can hold, got ", value);
}

// Positions of base, a row of its channels each.
void check_patches(const Tensor& patches, const Tensor& base) {
  TORCH_CHECK(patches.dim() == 2 && patches.size(1) == base.size(1), "patches: expected [P,C] with base's ",
              base.size(1), " channels, got shape ", patches.sizes());
  TORCH_CHECK(patches.scalar_type() == base.scalar_type() && patches.device() == base.device(),
              "patches: expected base's dtype and device, ", base.scalar_type(), " on ", base.device(), ", got ",
              patches.scalar_type(), " on ", patches.device());
}

void check_rectangles(const Tensor& table, const char* name, const Tensor& base) {
  TORCH_CHECK(table.dim() == 2 && table.size(1) == 5 && table.scalar_type() == at::kLong, name,
              ": expected int64 [n,5], got ", table.scalar_type(), " ", table.sizes());
  TORCH_CHECK(table.device() == base.device(), name, ": expected base's device ", base.device(), ", got ",
              table.device());
}

// One base map, what each window has changed of it, and what is wanted of each.
void check_changed_maps(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want, int64_t rows) {
  TORCH_CHECK(base.size(0) == 1, "base: expected one map, [1,C,H,W], got shape ", base.sizes());
  check_patches(patches, base);
  check_rectangles(have, "have", base);
  check_rectangles(want, "want", base);
  TORCH_CHECK(have.size(0) == want.size(0), "have: expected want's ", want.size(0), " windows, got ", have.size(0));
  TORCH_CHECK(rows >= 0, "rows: expected at least 0, got ", rows);
}

// A layer of windows over base.
std::array<DilatedWindowAxis, 2> window_axes(const Tensor& base, IntArrayRef kernel, IntArrayRef stride,
                                             IntArrayRef padding, IntArrayRef dilation) {
  check_small_pair(kernel, "kernel_size", 1);
  check_small_pair(stride, "stride", 1);
  check_small_pair(padding, "padding", 0);
  check_small_pair(dilation, "dilation", 1);
  // No more than memory could hold, so that int64 counts all that follows.
  const double padded = (base.size(2) + 2.0 * padding[0]) * (base.size(3) + 2.0 * padding[1]) * base.size(1);
  TORCH_CHECK(padded < 1e15, "padding: ", padding, " makes ", padded, " numbers of base's ", base.sizes());
  const double numbers = static_cast<double>(base.size(1)) * kernel[0] * kernel[1];
  TORCH_CHECK(numbers < 1e15, "kernel_size: ", kernel, " makes ", numbers, " numbers of one position");
  std::array<DilatedWindowAxis, 2> axes;
  for (const int i : {0, 1}) {
    axes[i] = {{base.size(2 + i), 0, kernel[i], stride[i], padding[i]}, dilation[i]};
    // What is padded after the map may be more than before it: by a line where "same" meets an even kernel, by less than
    // a stride where a pooling rounds up.
    const int64_t more = std::max<int64_t>(1, stride[i] - 1);
    const int64_t span = axes[i].inputs + 2 * padding[i] + more - axes[i].reach();
    axes[i].outputs = span < 0 ? 0 : span / stride[i] + 1;
  }
  return axes;
}

// A single window takes no step, so its stride says nothing; a small one keeps the kernels' buffers small.
WindowAxis pooling_axis(int64_t inputs, int64_t outputs, int64_t kernel, int64_t stride, int64_t padding) {
  return {inputs, outputs, kernel, outputs == 1 ? std::min(stride, kernel) : stride, padding};
}

WindowAxis pooled_axis(int64_t length, int64_t kernel, int64_t stride, int64_t padding, bool ceil_mode,
                       const char* side) {
  const int64_t span = length + 2 * padding - kernel;
  TORCH_CHECK(length > 0 && span + (ceil_mode ? stride - 1 : 0) >= 0, "input: its ", side, " ", length,
              " is too small for kernel_size ", kernel, " with padding ", padding);
  int64_t outputs = (span + (ceil_mode ? stride - 1 : 0)) / stride + 1;
  // The last window has to start inside the image or its left padding.
  if (ceil_mode && (outputs - 1) * stride >= length + padding) --outputs;
  return pooling_axis(length, outputs, kernel, stride, padding);
}

Pooling pooling_of(const Tensor& input, IntArrayRef kernel, IntArrayRef stride, IntArrayRef padding, bool ceil_mode) {
  check_image(input, "input");
  check_window(kernel, stride, padding);
  return {input.size(0), input.size(1),
          pooled_axis(input.size(2), kernel[0], stride[0], padding[0], ceil_mode, "height"),
          pooled_axis(input.size(3), kernel[1], stride[1], padding[1], ceil_mode, "width")};
}

// The pooling that turned [N,C,size] into switches' shape; refuses a size that no ceil_mode explains.
Pooling pooling_into(const Tensor& switches, IntArrayRef kernel, IntArrayRef stride, IntArrayRef padding,
                     IntArrayRef size, const char* name) {
  check_window(kernel, stride, padding);
  TORCH_CHECK(size.size() == 2, name, ": expected (H, W), got ", size);
  Pooling p{switches.size(0), switches.size(1), {}, {}};
  for (const int i : {0, 1}) {
    const int64_t outputs = switches.size(2 + i);
    const int64_t exact = (outputs - 1) * stride[i] + kernel[i] - 2 * padding[i];
    TORCH_CHECK(outputs > 0 && size[i] > 0 && size[i] > exact - stride[i] && size[i] < exact + stride[i], name,
                ": ", size, " does not pool to ", switches.sizes().slice(2), "; dimension ", i, " must be from ",
                std::max<int64_t>(1, exact - stride[i] + 1), " to ", exact + stride[i] - 1);
    (i == 0 ? p.y : p.x) = pooling_axis(size[i], outputs, kernel[i], stride[i], padding[i]);
  }
  return p;
}

Norm norm_of(int64_t size, double alpha, double beta, double k, int64_t channels) {
  TORCH_CHECK(size >= 1, "size: expected at least 1 channel, got ", size);
  // No more channels than exist are summed; a huge size then costs no more than all of them.
  const int64_t before = std::min(size / 2, channels), after = std::min((size - 1) / 2, channels);
  return {before + 1 + after, before, after, alpha / static_cast<double>(size), beta, k};
}

// ---------------------------------------------------------------- the operators

bool is_channels_last(MemoryFormat format) { return format == MemoryFormat::ChannelsLast; }

Tensor empty(const Tensor& like, IntArrayRef shape, MemoryFormat format, at::ScalarType type) {
  return like.is_cpu() ? cpu::empty_output(shape, type, format)
                       : at::empty(shape, like.options().dtype(type).memory_format(format));
}

const Tensor* pointer(const std::optional<Tensor>& t) { return t.has_value() ? &*t : nullptr; }

std::optional<Tensor> contiguous(const std::optional<Tensor>& t, MemoryFormat format) {
  return t.has_value() ? std::optional<Tensor>(t->contiguous(format)) : std::nullopt;
}

// The operators over the Kernels of one backend.
template <class Kernels>
struct Operators {
  static std::tuple<Tensor, Tensor> max_pool2d_with_switches(const Tensor& input, IntArrayRef kernel,
                                                             IntArrayRef stride, IntArrayRef padding, bool ceil_mode,
                                                             bool relu) {
    const Pooling p = pooling_of(input, kernel, stride, padding, ceil_mode);
    const auto format = input.suggest_memory_format();
    const std::array<int64_t, 4> shape{p.batch, p.channels, p.y.outputs, p.x.outputs};
    Tensor output = empty(input, shape, format, input.scalar_type());
    Tensor switches = empty(input, shape, format, at::kByte);
    if (output.numel() > 0)
      Kernels::max_pool(input.contiguous(format), p, relu, is_channels_last(format), output, switches);
    return {output, switches};
  }

  static Tensor max_unpool2d(const Tensor& input, const Tensor& switches, IntArrayRef kernel, IntArrayRef stride,
                             IntArrayRef padding, IntArrayRef output_size, const std::optional<Tensor>& gate) {
    check_image(input, "input");
    check_switches(switches, input);
    check_same(switches, "switches", input, "input");
    check_gate(gate, switches, input);
    const Pooling p = pooling_into(switches, kernel, stride, padding, output_size, "output_size");
    const auto format = input.suggest_memory_format();
    Tensor output = empty(input, {p.batch, p.channels, p.y.inputs, p.x.inputs}, format, input.scalar_type());
    const auto gate_ = contiguous(gate, format);
    if (output.numel() > 0)
      Kernels::max_unpool(input.contiguous(format), switches.contiguous(format), pointer(gate_), p,
                          is_channels_last(format), output);
    return output;
  }

  static Tensor gather_by_switch(const Tensor& input, const Tensor& switches, IntArrayRef kernel, IntArrayRef stride,
                                 IntArrayRef padding, const std::optional<Tensor>& gate) {
    check_image(input, "input");
    check_switches(switches, input);
    check_gate(gate, switches, input);
    TORCH_CHECK(switches.sizes().slice(0, 2) == input.sizes().slice(0, 2), "switches: expected input's batch and channels ",
                input.sizes().slice(0, 2), ", got ", switches.sizes());
    const Pooling p = pooling_into(switches, kernel, stride, padding, input.sizes().slice(2), "input");
    const auto format = switches.suggest_memory_format();
    Tensor output = empty(input, switches.sizes(), format, input.scalar_type());
    const auto gate_ = contiguous(gate, format);
    if (output.numel() > 0)
      Kernels::gather_by_switch(input.contiguous(format), switches.contiguous(format), pointer(gate_), p,
                                is_channels_last(format), output);
    return output;
  }

  static Tensor local_response_norm(const Tensor& input, int64_t size, double alpha, double beta, double k) {
    check_image(input, "input");
    const Norm norm = norm_of(size, alpha, beta, k, input.size(1));
    const auto format = input.suggest_memory_format();
    Tensor output = empty(input, input.sizes(), format, input.scalar_type());
    if (output.numel() > 0) Kernels::lrn(input.contiguous(format), norm, is_channels_last(format), output);
    return output;
  }

  static Tensor local_response_norm_backward(const Tensor& grad, const Tensor& input, int64_t size, double alpha,
                                             double beta, double k) {
    check_image(input, "input");
    check_same(grad, "grad", input, "input");
    TORCH_CHECK(grad.scalar_type() == input.scalar_type(), "grad: expected input's dtype ", input.scalar_type(),
                ", got ", grad.scalar_type());
    const Norm norm = norm_of(size, alpha, beta, k, input.size(1));
    const auto format = input.suggest_memory_format();
    Tensor output = empty(input, input.sizes(), format, input.scalar_type());
    if (output.numel() > 0)
      Kernels::lrn_backward(grad.contiguous(format), input.contiguous(format), norm, is_channels_last(format), output);
    return output;
  }

  static std::tuple<Tensor, Tensor, Tensor> relu_max_pool2d_lrn(const Tensor& input, IntArrayRef kernel,
                                                                IntArrayRef stride, IntArrayRef padding, bool ceil_mode,
                                                                int64_t size, double alpha, double beta, double k,
                                                                bool keep_pooled) {
    const Pooling p = pooling_of(input, kernel, stride, padding, ceil_mode);
    const Norm norm = norm_of(size, alpha, beta, k, input.size(1));
    const auto format = input.suggest_memory_format();
    const std::array<int64_t, 4> shape{p.batch, p.channels, p.y.outputs, p.x.outputs};
    Tensor output = empty(input, shape, format, input.scalar_type());
    Tensor switches = empty(input, shape, format, at::kByte);
    Tensor pooled = keep_pooled ? empty(input, shape, format, input.scalar_type())
                                : at::empty({0}, output.options().memory_format(std::nullopt));
    if (output.numel() > 0)
      Kernels::relu_max_pool_lrn(input.contiguous(format), p, norm, is_channels_last(format), output, switches,
                                 keep_pooled ? &pooled : nullptr);
    return {output, switches, pooled};
  }

  static Tensor occlude(const Tensor& image, const Tensor& fill, const Tensor& origins, IntArrayRef window) {
    TORCH_CHECK(image.dim() == 3, "image: expected [C,H,W], got shape ", image.sizes());
    const Tensor batch = image.unsqueeze(0);
    check_image(batch, "image");
    TORCH_CHECK(fill.scalar_type() == image.scalar_type() && fill.device() == image.device(),
                "fill: expected image's dtype and device, ", image.scalar_type(), " on ", image.device(), ", got ",
                fill.scalar_type(), " on ", fill.device());
    bool fits = fill.dim() <= 3;
    for (int64_t i = 1; fits && i <= fill.dim(); ++i)
      fits = fill.size(-i) == 1 || fill.size(-i) == image.size(-i);
    TORCH_CHECK(fits, "fill: expected a shape that broadcasts to image's ", image.sizes(), ", got ", fill.sizes());
    TORCH_CHECK(origins.dim() == 2 && origins.size(1) == 2 && origins.scalar_type() == at::kLong,
                "origins: expected int64 [n,2], got ", origins.scalar_type(), " ", origins.sizes());
    TORCH_CHECK(origins.device() == image.device(), "origins: expected image's device ", image.device(), ", got ",
                origins.device());
    check_pair(window, "window", 1);
    const auto format = batch.suggest_memory_format();
    Tensor output = empty(image, {origins.size(0), image.size(0), image.size(1), image.size(2)}, format,
                          image.scalar_type());
    if (output.numel() > 0)
      Kernels::occlude(batch.contiguous(format), fill.expand_as(image).unsqueeze(0).contiguous(format),
                       origins.contiguous(), window[0], window[1], is_channels_last(format), output);
    return output;
  }

  static Tensor gather_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want,
                               int64_t rows, double fill) {
    check_image(base, "base");
    check_changed_maps(base, patches, have, want, rows);
    check_fits(fill, "fill", base.scalar_type());
    Tensor output = at::empty({rows, base.size(1)}, base.options().memory_format(std::nullopt));
    Kernels::gather_patches(base.contiguous(MemoryFormat::ChannelsLast), patches.contiguous(), have.contiguous(),
                            want.contiguous(), fill, output);
    return output;
  }

  static Tensor unfold_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want,
                               int64_t rows, IntArrayRef kernel, IntArrayRef stride, IntArrayRef padding,
                               IntArrayRef dilation) {
    check_image(base, "base");
    check_changed_maps(base, patches, have, want, rows);
    const auto [y, x] = window_axes(base, kernel, stride, padding, dilation);
    Tensor output = at::empty({rows, base.size(1) * kernel[0] * kernel[1]}, base.options().memory_format(std::nullopt));
    Kernels::unfold_patches(base.contiguous(MemoryFormat::ChannelsLast), patches.contiguous(), have.contiguous(),
                            want.contiguous(), y, x, output);
    return output;
  }

  static Tensor pool_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want,
                             int64_t rows, IntArrayRef kernel, IntArrayRef stride, IntArrayRef padding,
                             IntArrayRef dilation, bool sum) {
    check_image(base, "base");
    check_changed_maps(base, patches, have, want, rows);
    const auto [y, x] = window_axes(base, kernel, stride, padding, dilation);
    Tensor output = at::empty({rows, base.size(1)}, base.options().memory_format(std::nullopt));
    Kernels::pool_patches(base.contiguous(MemoryFormat::ChannelsLast), patches.contiguous(), have.contiguous(),
                          want.contiguous(), y, x, sum, output);
    return output;
  }

  static void register_in(torch::Library& m) {
    m.impl("max_pool2d_with_switches", max_pool2d_with_switches);
    m.impl("max_unpool2d", max_unpool2d);
    m.impl("gather_by_switch", gather_by_switch);
    m.impl("local_response_norm", local_response_norm);
    m.impl("local_response_norm_backward", local_response_norm_backward);
    m.impl("relu_max_pool2d_lrn", relu_max_pool2d_lrn);
    m.impl("occlude", occlude);
    m.impl("gather_patches", gather_patches);
    m.impl("unfold_patches", unfold_patches);
    m.impl("pool_patches", pool_patches);
  }
};

// ---------------------------------------------------------------- for the CPU alone: elsewhere dense layers do better

void check_float(const Tensor& t, const char* name) {
  TORCH_CHECK(t.scalar_type() == at::kFloat, name, ": expected float32, got ", t.scalar_type());
}

void check_floats(const std::optional<Tensor>& t, const char* name, IntArrayRef shape) {
  if (!t.has_value()) return;
  TORCH_CHECK(t->scalar_type() == at::kFloat && t->sizes() == shape, name, ": expected float32 ", shape, ", got ",
              t->scalar_type(), " ", t->sizes());
}

Tensor pack_filters(const Tensor& weight, IntArrayRef stride, IntArrayRef dilation, int64_t tile) {
  TORCH_CHECK(weight.dim() == 4 && weight.numel() > 0, "weight: expected [O,C,kh,kw], got shape ", weight.sizes());
  check_float(weight, "weight");
  check_pair(stride, "stride", 1);
  check_pair(dilation, "dilation", 1);
  TORCH_CHECK(tile == 2 || tile == cpu::kLargestTile, "tile: expected 2 or ", cpu::kLargestTile, ", got ", tile);
  const DilatedWindowAxis y{{0, 0, weight.size(2), stride[0], 0}, dilation[0]};
  const DilatedWindowAxis x{{0, 0, weight.size(3), stride[1], 0}, dilation[1]};
  const int64_t outputs = weight.size(0), channels = weight.size(1);
  const Tensor filters = weight.contiguous();
  if (cpu::suits_winograd(y, x, channels, outputs)) {
    Tensor packed = at::empty({cpu::winograd_size(outputs, channels, tile)}, weight.options());
    cpu::pack_winograd(filters, tile, packed);
    return packed;
  }
  Tensor packed = at::empty({cpu::packed_size(outputs, channels, y.kernel * x.kernel)}, weight.options());
  cpu::pack_filters(filters, packed);
  return packed;
}

Tensor conv_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want, int64_t rows,
                    const Tensor& filters, const std::optional<Tensor>& bias, const std::optional<Tensor>& residual,
                    int64_t channels, IntArrayRef kernel, IntArrayRef stride, IntArrayRef padding, IntArrayRef dilation,
                    bool relu, std::optional<double> ceiling) {
  check_image(base, "base");
  check_float(base, "base");
  check_changed_maps(base, patches, have, want, rows);
  TORCH_CHECK(base.size(1) > 0, "base: expected at least one channel, got shape ", base.sizes());
  TORCH_CHECK(channels >= 1, "channels: expected at least 1, got ", channels);
  const auto [y, x] = window_axes(base, kernel, stride, padding, dilation);
  const double weights = static_cast<double>(channels) * base.size(1) * kernel[0] * kernel[1];
  TORCH_CHECK(weights < 1e15, "kernel_size: ", kernel, " makes ", weights, " weights for ", channels, " channels");
  const bool winograd = cpu::suits_winograd(y, x, base.size(1), channels);
  // The filters' own size says for which tiles they are.
  const int64_t given = filters.numel(), expected = winograd ? cpu::winograd_size(channels, base.size(1), 2)
                                                             : cpu::packed_size(channels, base.size(1), kernel[0] * kernel[1]);
  const bool large = winograd && given == cpu::winograd_size(channels, base.size(1), cpu::kLargestTile);
  TORCH_CHECK(filters.dim() == 1 && (given == expected || large) && filters.scalar_type() == at::kFloat,
              "filters: expected ", expected, " float32 numbers from pack_filters, got ", filters.scalar_type(), " ",
              filters.sizes());
  check_floats(bias, "bias", {channels});
  check_floats(residual, "residual", {rows, channels});
  Tensor output = at::empty({rows, channels}, base.options().memory_format(std::nullopt));
  const Tensor map = base.contiguous(MemoryFormat::ChannelsLast), patch = patches.contiguous(), held = have.contiguous(),
               wanted = want.contiguous(), packed = filters.contiguous();
  const auto bias_ = contiguous(bias, MemoryFormat::Contiguous), residual_ = contiguous(residual, MemoryFormat::Contiguous);
  cpu::check_tables(held.const_data_ptr<int64_t>(), wanted.const_data_ptr<int64_t>(), want.size(0), base, patches.size(0),
                    rows);
  cpu::check_wanted(wanted.const_data_ptr<int64_t>(), want.size(0), y.outputs, x.outputs);
  const cpu::PatchConv p{map.const_data_ptr<float>(), patch.const_data_ptr<float>(), held.const_data_ptr<int64_t>(),
                         wanted.const_data_ptr<int64_t>(), packed.const_data_ptr<float>(),
                         bias_ ? bias_->const_data_ptr<float>() : nullptr,
                         residual_ ? residual_->const_data_ptr<float>() : nullptr, output.mutable_data_ptr<float>(),
                         base.size(1), channels, y, x, cpu::Limits::of(relu, ceiling)};
  if (output.numel() > 0 && winograd)
    cpu::conv_winograd(p, large ? cpu::kLargestTile : 2, want.size(0));
  else if (output.numel() > 0)
    cpu::conv_patches(p, want.size(0), rows);
  return output;
}

Tensor pointwise_patches(at::TensorList bases, at::TensorList patches, at::TensorList haves, const Tensor& want,
                         int64_t rows, const Tensor& filters, const std::optional<Tensor>& bias,
                         const std::optional<Tensor>& residual, const std::optional<Tensor>& scale,
                         const std::optional<Tensor>& shift, bool before_relu, int64_t channels, IntArrayRef stride,
                         bool relu, std::optional<double> ceiling) {
  TORCH_CHECK(!bases.empty(), "bases: expected at least one map");
  TORCH_CHECK(patches.size() == bases.size(), "patches: expected as many as bases, ", bases.size(), ", got ",
              patches.size());
  TORCH_CHECK(haves.size() == bases.size(), "haves: expected as many as bases, ", bases.size(), ", got ", haves.size());
  TORCH_CHECK(channels >= 1, "channels: expected at least 1, got ", channels);
  check_small_pair(stride, "stride", 1);
  int64_t inputs = 0;
  for (size_t i = 0; i < bases.size(); ++i) {
    check_image(bases[i], "bases");
    check_float(bases[i], "bases");
    check_changed_maps(bases[i], patches[i], haves[i], want, rows);
    TORCH_CHECK(bases[i].size(2) == bases[0].size(2) && bases[i].size(3) == bases[0].size(3),
                "bases: expected maps of one size, got ", bases[0].sizes(), " and ", bases[i].sizes());
    inputs += bases[i].size(1);
  }
  TORCH_CHECK(inputs > 0, "bases: expected at least one channel, got none");
  const double weights = static_cast<double>(channels) * inputs;
  TORCH_CHECK(weights < 1e15, "channels: ", channels, " make ", weights, " weights");
  const int64_t expected = cpu::packed_size(channels, inputs, 1);
  TORCH_CHECK(filters.dim() == 1 && filters.numel() == expected && filters.scalar_type() == at::kFloat,
              "filters: expected ", expected, " float32 numbers from pack_filters, got ", filters.scalar_type(), " ",
              filters.sizes());
  check_floats(bias, "bias", {channels});
  check_floats(residual, "residual", {rows, channels});
  check_floats(scale, "scale", {inputs});
  check_floats(shift, "shift", {inputs});
  TORCH_CHECK(scale.has_value() == shift.has_value(), "shift: expected together with scale, got one of them");
  Tensor output = at::empty({rows, channels}, bases[0].options().memory_format(std::nullopt));
  const Tensor wanted = want.contiguous(), packed = filters.contiguous();
  const auto plain = [](const std::optional<Tensor>& t) { return contiguous(t, MemoryFormat::Contiguous); };
  const auto bias_ = plain(bias), residual_ = plain(residual), scale_ = plain(scale), shift_ = plain(shift);
  const auto numbers = [](const std::optional<Tensor>& t) { return t ? t->const_data_ptr<float>() : nullptr; };
  std::vector<Tensor> kept;  // the copies, where one was needed
  std::vector<cpu::PointwiseSource> sources;
  const int64_t n = want.size(0), height = bases[0].size(2), width = bases[0].size(3);
  for (size_t i = 0; i < bases.size(); ++i) {
    const Tensor map = bases[i].contiguous(MemoryFormat::ChannelsLast), patch = patches[i].contiguous(),
                 held = haves[i].contiguous();
    cpu::check_tables(held.const_data_ptr<int64_t>(), wanted.const_data_ptr<int64_t>(), n, map, patch.size(0), rows);
    sources.push_back({map.const_data_ptr<float>(), patch.const_data_ptr<float>(), held.const_data_ptr<int64_t>(),
                       map.size(1), width});
    kept.insert(kept.end(), {map, patch, held});
  }
  const auto outputs = [](int64_t length, int64_t stride) { return length == 0 ? 0 : (length - 1) / stride + 1; };
  cpu::check_wanted(wanted.const_data_ptr<int64_t>(), n, outputs(height, stride[0]), outputs(width, stride[1]));
  const cpu::PointwisePatches p{sources.data(), static_cast<int64_t>(sources.size()), wanted.const_data_ptr<int64_t>(),
                                packed.const_data_ptr<float>(), numbers(bias_), numbers(residual_),
                                output.mutable_data_ptr<float>(), inputs, channels, stride[0], stride[1],
                                {numbers(scale_), numbers(shift_), before_relu}, cpu::Limits::of(relu, ceiling)};
  if (output.numel() > 0) cpu::pointwise_patches(p, n, rows);
  return output;
}

Tensor pack_grouped_filters(const Tensor& weight, int64_t groups) {
  TORCH_CHECK(weight.dim() == 4 && weight.numel() > 0, "weight: expected [O,C/groups,kh,kw], got shape ", weight.sizes());
  check_float(weight, "weight");
  TORCH_CHECK(groups >= 1 && weight.size(0) % groups == 0, "groups: expected a divisor of the ", weight.size(0),
              " outputs, got ", groups);
  const cpu::Groups of = cpu::groups_of(weight.size(1), weight.size(0) / groups, groups);
  Tensor packed = at::empty({of.packed_size(weight.size(2) * weight.size(3))}, weight.options());
  cpu::pack_grouped(weight.contiguous(), of, packed);
  return packed;
}

Tensor grouped_patches(const Tensor& base, const Tensor& patches, const Tensor& have, const Tensor& want, int64_t rows,
                       const Tensor& filters, const std::optional<Tensor>& bias, const std::optional<Tensor>& residual,
                       int64_t channels, int64_t groups, IntArrayRef kernel, IntArrayRef stride, IntArrayRef padding,
                       IntArrayRef dilation, bool relu, std::optional<double> ceiling) {
  check_image(base, "base");
  check_float(base, "base");
  check_changed_maps(base, patches, have, want, rows);
  TORCH_CHECK(base.size(1) > 0, "base: expected at least one channel, got shape ", base.sizes());
  TORCH_CHECK(channels >= 1, "channels: expected at least 1, got ", channels);
  TORCH_CHECK(groups >= 1 && base.size(1) % groups == 0 && channels % groups == 0, "groups: expected a divisor of base's ",
              base.size(1), " channels and of channels ", channels, ", got ", groups);
  const auto [y, x] = window_axes(base, kernel, stride, padding, dilation);
  const double weights = static_cast<double>(channels) * (base.size(1) / groups) * kernel[0] * kernel[1];
  TORCH_CHECK(weights < 1e15, "kernel_size: ", kernel, " makes ", weights, " weights for ", channels, " channels");
  const cpu::Groups of = cpu::groups_of(base.size(1) / groups, channels / groups, groups);
  const int64_t expected = of.packed_size(kernel[0] * kernel[1]);
  TORCH_CHECK(filters.dim() == 1 && filters.numel() == expected && filters.scalar_type() == at::kFloat,
              "filters: expected ", expected, " float32 numbers from pack_grouped_filters, got ", filters.scalar_type(),
              " ", filters.sizes());
  check_floats(bias, "bias", {channels});
  check_floats(residual, "residual", {rows, channels});
  Tensor output = at::empty({rows, channels}, base.options().memory_format(std::nullopt));
  const Tensor map = base.contiguous(MemoryFormat::ChannelsLast), patch = patches.contiguous(), held = have.contiguous(),
               wanted = want.contiguous(), packed = filters.contiguous();
  const auto bias_ = contiguous(bias, MemoryFormat::Contiguous), residual_ = contiguous(residual, MemoryFormat::Contiguous);
  cpu::check_tables(held.const_data_ptr<int64_t>(), wanted.const_data_ptr<int64_t>(), want.size(0), base, patches.size(0),
                    rows);
  cpu::check_wanted(wanted.const_data_ptr<int64_t>(), want.size(0), y.outputs, x.outputs);
  const cpu::GroupedConv p{map.const_data_ptr<float>(), patch.const_data_ptr<float>(), held.const_data_ptr<int64_t>(),
                           wanted.const_data_ptr<int64_t>(), packed.const_data_ptr<float>(),
                           bias_ ? bias_->const_data_ptr<float>() : nullptr,
                           residual_ ? residual_->const_data_ptr<float>() : nullptr, output.mutable_data_ptr<float>(), of,
                           y, x, cpu::Limits::of(relu, ceiling)};
  if (output.numel() > 0) cpu::grouped_patches(p, want.size(0));
  return output;
}

Tensor linear_rows(const Tensor& input, const Tensor& weight, const std::optional<Tensor>& bias,
                   const std::optional<Tensor>& have, IntArrayRef size) {
  TORCH_CHECK(input.dim() == 2, "input: expected [n,K], got shape ", input.sizes());
  check_float(input, "input");
  check_float(weight, "weight");
  check_small_pair(size, "size", 1);
  const int64_t positions = size[0] * size[1], outputs = weight.dim() == 2 ? weight.size(0) : 0;
  TORCH_CHECK(weight.dim() == 2 && weight.size(1) == input.size(1), "weight: expected [O,", input.size(1), "], got shape ",
              weight.sizes());
  TORCH_CHECK(input.size(1) % positions == 0, "size: ", size, " positions do not divide input's ", input.size(1));
  check_floats(bias, "bias", {outputs});
  if (have.has_value()) {
    check_rectangles(*have, "have", input);
    TORCH_CHECK(have->size(0) == input.size(0), "have: expected input's ", input.size(0), " rows, got ", have->size(0));
  }
  Tensor output = at::empty({input.size(0), outputs}, input.options().memory_format(std::nullopt));
  const Tensor rows = input.contiguous(), weights = weight.contiguous();
  const auto bias_ = contiguous(bias, MemoryFormat::Contiguous), have_ = contiguous(have, MemoryFormat::Contiguous);
  if (input.size(1) == 0) return bias.has_value() ? output.copy_(*bias) : output.zero_();
  if (output.numel() > 0)
    cpu::linear_rows({rows.const_data_ptr<float>(), have_ ? have_->const_data_ptr<int64_t>() : nullptr,
                      weights.const_data_ptr<float>(), bias_ ? bias_->const_data_ptr<float>() : nullptr,
                      output.mutable_data_ptr<float>(), rows.size(0), rows.size(1) / positions, size[0], size[1], outputs});
  return output;
}

// conv2d(input, weight, ., stride, padding), rectified and pooled: the way back from the pooled values.
std::tuple<Tensor, Tensor, Tensor> conv_backward_by_switch(const Tensor& grad, const Tensor& switches, const Tensor& gate,
                                                           const Tensor& input, const Tensor& weight, IntArrayRef stride,
                                                           IntArrayRef padding, IntArrayRef pool_kernel,
                                                           IntArrayRef pool_stride, IntArrayRef pool_padding,
                                                           bool input_wanted) {
  check_image(input, "input");
  check_float(input, "input");
  TORCH_CHECK(weight.dim() == 4 && weight.size(1) == input.size(1) && weight.numel() > 0, "weight: expected [O,",
              input.size(1), ",kh,kw], got shape ", weight.sizes());
  check_image(grad, "grad");
  check_switches(switches, grad);
  check_same(switches, "switches", grad, "grad");
  check_gate(gate, switches, grad);
  for (const auto& [t, name] : {std::pair(&grad, "grad"), std::pair(&weight, "weight")})
    TORCH_CHECK(t->scalar_type() == at::kFloat && t->device() == input.device(), name, ": expected float32 on ",
                input.device(), ", got ", t->scalar_type(), " on ", t->device());
  TORCH_CHECK(grad.size(0) == input.size(0) && grad.size(1) == weight.size(0), "grad: expected [", input.size(0), ",",
              weight.size(0), ",Ho,Wo], got shape ", grad.sizes());
  check_small_pair(stride, "stride", 1);
  check_small_pair(padding, "padding", 0);
  std::array<WindowAxis, 2> axes;
  for (const int i : {0, 1}) {
    const int64_t span = input.size(2 + i) + 2 * padding[i] - weight.size(2 + i);
    TORCH_CHECK(span >= 0, "input: ", input.sizes(), " is too small for weight ", weight.sizes(), " with padding ", padding);
    axes[i] = {input.size(2 + i), span / stride[i] + 1, weight.size(2 + i), stride[i], padding[i]};
  }
  const Pooling pooling = pooling_into(switches, pool_kernel, pool_stride, pool_padding,
                                       {axes[0].outputs, axes[1].outputs}, "pool_kernel_size");
  const auto last = MemoryFormat::ChannelsLast;
  Tensor grad_input = input_wanted ? empty(input, input.sizes(), last, at::kFloat) : at::empty({0}, input.options());
  Tensor grad_weight = empty(weight, weight.sizes(), last, at::kFloat);
  Tensor grad_bias = at::empty({weight.size(0)}, input.options().memory_format(std::nullopt));
  if (grad.numel() == 0) return {grad_input.zero_(), grad_weight.zero_(), grad_bias.zero_()};
  cpu::conv_winners(grad.contiguous(last), switches.contiguous(last), gate.contiguous(last), input.contiguous(last),
                    weight, axes[0], axes[1], pooling, grad_input, grad_weight, grad_bias);
  return {grad_input, grad_weight, grad_bias};
}

void check_plain(const Tensor& t, const char* name, at::ScalarType type, IntArrayRef shape) {
  TORCH_CHECK(t.scalar_type() == type && t.sizes() == shape && t.is_contiguous(), name, ": expected ", type, " ",
              shape, ", contiguous, got ", t.scalar_type(), " ", t.sizes());
}

void texture_pixels(const Tensor& output, const Tensor& chosen, const std::optional<Tensor>& coarser,
                    const Tensor& values, const Tensor& windows, const Tensor& order, const Tensor& centres,
                    const Tensor& nodes, int64_t radius, int64_t leaves, int64_t first, int64_t last) {
  const bool two = coarser.has_value();
  TORCH_CHECK(output.dim() == 3 && output.numel() > 0, "output: expected [H,W,C], got shape ", output.sizes());
  TORCH_CHECK(!two || (coarser->dim() == 3 && coarser->numel() > 0), "coarser: expected [h,w,C], got shape ",
              two ? coarser->sizes() : IntArrayRef{});
  TORCH_CHECK(windows.dim() == 2 && windows.size(0) > 0 && nodes.dim() == 2 && nodes.size(0) > 0,
              "windows, nodes: expected [N,P] and [M,4], got shapes ", windows.sizes(), " and ", nodes.sizes());
  TORCH_CHECK(radius >= 1 && radius < 64, "radius: expected 1 to 63, got ", radius);
  TORCH_CHECK(leaves >= 1, "leaves: expected at least 1, got ", leaves);
  const int64_t height = output.size(0), width = output.size(1), channels = output.size(2), n = windows.size(0);
  TORCH_CHECK(channels <= 4, "output: expected at most 4 channels, got ", channels);  // distances have 32 bits
  TORCH_CHECK(0 <= first && first <= last && last <= height * width, "first, last: expected pixels of ",
              height * width, ", got ", first, ", ", last);
  check_plain(output, "output", at::kByte, {height, width, channels});
  check_plain(chosen, "chosen", at::kLong, {height, width});
  if (two) check_plain(*coarser, "coarser", at::kByte, {coarser->size(0), coarser->size(1), channels});
  const int64_t pitch = windows.size(1), count = nodes.size(0);
  check_plain(values, "values", at::kByte, {n, channels});
  check_plain(windows, "windows", at::kByte, {n, pitch});
  check_plain(order, "order", at::kLong, {n});
  check_plain(centres, "centres", at::kByte, {count, pitch});
  check_plain(nodes, "nodes", at::kLong, {count, 4});
  cpu::TexturePicture above{nullptr, 0, 0};
  if (two) above = {coarser->mutable_data_ptr<uint8_t>(), coarser->size(0), coarser->size(1)};
  const cpu::Texture texture{{output.mutable_data_ptr<uint8_t>(), height, width},
                             chosen.mutable_data_ptr<int64_t>(),
                             above,
                             values.const_data_ptr<uint8_t>(),
                             windows.const_data_ptr<uint8_t>(),
                             order.const_data_ptr<int64_t>(),
                             centres.const_data_ptr<uint8_t>(),
                             reinterpret_cast<const cpu::TextureNode*>(nodes.const_data_ptr<int64_t>()),
                             channels,
                             pitch,
                             radius,
                             leaves};
  const int64_t size = texture.size();
  TORCH_CHECK(pitch % 64 == 0 && pitch >= size && pitch < size + 64, "windows: expected ", size,
              " values, up to a multiple of 64, got ", pitch);
  TORCH_CHECK(pitch <= 32768, "radius: windows of ", size, " values are too large for distances of 32 bits");
  for (int64_t i = 0; i < n; ++i) {
    const int64_t at = texture.order[i];
    TORCH_CHECK(at >= 0 && at < n, "order: expected less than ", n, ", got ", at);
  }
  for (int64_t i = 0; i < count; ++i) {
    const auto [child, children, begin, end] = texture.nodes[i];
    // Children stand behind their parent, so that there is no circle.
    const bool some = children > 0 && children <= cpu::kMostChildren && child > i && child <= count - children;
    TORCH_CHECK(children == 0 || some, "nodes: node ", i, " of ", count, " has ", children, " children at ", child);
    TORCH_CHECK(0 <= begin && begin < end && end <= n, "nodes: node ", i, " has windows ", begin, " to ", end);
  }
  cpu::texture_pixels(texture, first, last);
}

TORCH_LIBRARY_IMPL(zfcuda, CPU, m) {
  Operators<cpu::Kernels>::register_in(m);
  m.impl("conv_backward_by_switch", conv_backward_by_switch);
  m.impl("pack_filters", pack_filters);
  m.impl("conv_patches", conv_patches);
  m.impl("pointwise_patches", pointwise_patches);
  m.impl("pack_grouped_filters", pack_grouped_filters);
  m.impl("grouped_patches", grouped_patches);
  m.impl("linear_rows", linear_rows);
  m.impl("texture_pixels", texture_pixels);
}

// Where nothing is differentiated a call goes straight on to its kernel, without Python; else to the operator's twin
// NAME_differentiated, which zfcuda/ops/_derivatives.py defines.
void differentiate(const c10::OperatorHandle& op, c10::DispatchKeySet keys, torch::jit::Stack* stack) {
  const bool backwards = at::GradMode::is_enabled();
  bool wanted = false;
  for (const c10::IValue& argument : torch::jit::last(*stack, op.schema().arguments().size())) {
    if (argument.isTensor() && argument.toTensor().defined()) {
      const Tensor& tensor = argument.toTensor();
      wanted = wanted || (backwards && tensor.requires_grad()) || tensor._fw_grad(0).defined();
    }
  }
  if (wanted) {
    const std::string name = op.schema().name() + "_differentiated";
    c10::Dispatcher::singleton().findSchemaOrThrow(name.c_str(), "").redispatchBoxed(keys, stack);
    return;
  }
  at::AutoDispatchBelowAutograd guard;
  op.redispatchBoxed(keys & c10::after_autograd_keyset, stack);
}

TORCH_LIBRARY_IMPL(zfcuda, Autograd, m) {
  for (const char* name : {"max_pool2d_with_switches", "max_unpool2d", "gather_by_switch", "local_response_norm",
                           "local_response_norm_backward", "relu_max_pool2d_lrn", "occlude"}) {
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&differentiate>());
  }
  // These have no derivative, and refuse in both directions.
  for (const char* name : {"gather_patches", "unfold_patches", "pool_patches", "pack_filters", "conv_patches",
                           "pointwise_patches", "pack_grouped_filters", "grouped_patches", "linear_rows",
                           "texture_pixels", "conv_backward_by_switch"}) {
    m.impl(name, torch::autograd::autogradNotImplementedFallback());
  }
}

#ifdef ZFCUDA_WITH_CUDA
TORCH_LIBRARY_IMPL(zfcuda, CUDA, m) { Operators<cuda::Kernels>::register_in(m); }
#endif

}  // namespace
}  // namespace zfcuda

// What was compiled in, for zfcuda.backend().
PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("build_info", [] {
    pybind11::dict info;
    info["instruction_set"] = zfcuda::cpu::instruction_set();
#ifdef _OPENMP
    info["openmp"] = true;
#else
    info["openmp"] = false;
#endif
#ifdef ZFCUDA_WITH_CUDA
    info["cuda"] = true;
    info["cuda_architectures"] = ZFCUDA_CUDA_ARCHITECTURES;
#else
    info["cuda"] = false;
    info["cuda_architectures"] = "";
#endif
    return info;
  });
  m.def("cuda_runs_on", [](int64_t device) {
#ifdef ZFCUDA_WITH_CUDA
    return zfcuda::cuda::runs_on(device);
#else
    return false;
#endif
  });
}
