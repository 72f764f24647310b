// zfcuda.cpp's operators over the emulated kernels: its CUDA registration, under another library name, for CPU tensors.
#include <torch/csrc/utils/pybind.h>
#include <torch/library.h>

namespace emulation {
const char* library_name();  // runtime.cpp: this file is compiled once for all builds
}

#undef TORCH_LIBRARY
#undef TORCH_LIBRARY_IMPL
#undef PYBIND11_MODULE

#define TORCH_LIBRARY(ns, m)                                                                                       \
  void define_operators(torch::Library&);                                                                          \
  const torch::detail::TorchLibraryInit definitions(torch::Library::DEF, &define_operators,                        \
                                                    emulation::library_name(), std::nullopt, __FILE__, __LINE__);  \
  void define_operators(torch::Library& m)

#define TORCH_LIBRARY_IMPL(ns, key, m) REGISTER_##key(m)
#define REGISTER_CPU(m) [[maybe_unused]] inline void not_emulated(torch::Library& m)
#define REGISTER_Autograd(m) [[maybe_unused]] inline void not_differentiated(torch::Library& m)
#define REGISTER_CUDA(m)                                                                                               \
  void register_kernels(torch::Library&);                                                                              \
  const torch::detail::TorchLibraryInit kernels(torch::Library::IMPL, &register_kernels, emulation::library_name(),    \
                                                c10::DispatchKey::CPU, __FILE__, __LINE__);                            \
  void register_kernels(torch::Library& m)

#define PYBIND11_MODULE(name, m) [[maybe_unused]] static inline void no_module(pybind11::module_& m)

#include "zfcuda.cpp"
