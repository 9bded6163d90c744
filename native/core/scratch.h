// Working memory of a kernel: aligned, and kept by the thread for its next call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>

namespace espalier {

// Slots let one kernel hold several pieces at once; a piece is valid until the same thread asks for
// the same slot again. Throws std::bad_alloc. Contents are undefined.
enum class Scratch { kPackA, kPackB, kColumns, kPartial, kIndex, kOther, kProgram, kCount };

void* scratch_bytes(Scratch slot, size_t bytes);

template <class T>
T* scratch(Scratch slot, int64_t count) {
  // More than the address space holds can only be a geometry gone wild: out of memory, not a wrapped size.
  if (count < 0 || count > (int64_t{1} << 46)) throw std::bad_alloc();
  return static_cast<T*>(scratch_bytes(slot, static_cast<size_t>(count) * sizeof(T)));
}

}  // namespace espalier
