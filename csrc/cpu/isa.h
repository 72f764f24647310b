// Which instruction set the CPU kernels use: the widest that the processor has, or less if ZFCUDA_ISA asks for less.
#pragma once

namespace zfcuda::cpu {

enum class Isa { baseline, avx2, avx512 };

Isa chosen_isa();

}  // namespace zfcuda::cpu
