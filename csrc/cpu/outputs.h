// Where the outputs of the operators come from.
#pragma once

#include <ATen/core/Tensor.h>

namespace zfcuda::cpu {

// As at::empty. A large one is a block that was freed before, where there is one: a fresh 70 MB output is zeroed by the
// system, page by page, before it is written, which can take as long as the kernel that fills it. At most 128 MiB wait
// for their next use, and the system may take them back at any time. For outputs that are written whole.
at::Tensor empty_output(at::IntArrayRef shape, at::ScalarType type, at::MemoryFormat format);

}  // namespace zfcuda::cpu
