#include "core/scratch.h"

#include <cstdlib>
#include <new>

namespace espalier {
namespace {

struct Piece {
  void* data = nullptr;
  size_t bytes = 0;
  ~Piece() { std::free(data); }
};

}  // namespace

void* scratch_bytes(Scratch slot, size_t bytes) {
  thread_local Piece pieces[static_cast<int>(Scratch::kCount)];
  Piece& piece = pieces[static_cast<int>(slot)];
  if (bytes > piece.bytes || piece.data == nullptr) {
    // Rounded up to 4 KiB steps, so that slowly growing requests do not reallocate each time.
    const size_t rounded = (bytes / 4096 + 1) * 4096;
    void* fresh = std::aligned_alloc(4096, rounded);
    if (fresh == nullptr) throw std::bad_alloc();
    std::free(piece.data);
    piece.data = fresh;
    piece.bytes = rounded;
  }
  return piece.data;
}

}  // namespace espalier
