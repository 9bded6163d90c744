// The driver copies from ordinary memory at half the speed of the bus, and waits for the stream first. So
// copies go through pinned pieces: one is filled or emptied by the processor while the bus works on another.
#include "cuda/core/transfer.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

namespace espalier::cuda {
namespace {

constexpr int64_t kPiece = int64_t{4} << 20;
constexpr int kPieces = 4;

struct Piece {
  char* host = nullptr;
  cudaEvent_t done = nullptr;  // recorded behind the copy that last used it
  bool used = false;
};

struct Ring {
  Piece pieces[kPieces];
  int next = 0;

  // A piece that no copy uses any more.
  Piece& take() {
    Piece& piece = pieces[next];
    next = (next + 1) % kPieces;
    if (piece.host == nullptr) {
      if (piece.done == nullptr) ESPALIER_CUDA(cudaEventCreateWithFlags(&piece.done, cudaEventDisableTiming));
      ESPALIER_CUDA(cudaHostAlloc(reinterpret_cast<void**>(&piece.host), kPiece, cudaHostAllocDefault));
    }
    if (piece.used) ESPALIER_CUDA(cudaEventSynchronize(piece.done));
    piece.used = false;
    return piece;
  }
};

std::mutex g_lock;

// With the lock held: the ring of the current device, never given back.
Ring& ring() {
  static std::map<int, Ring>* const all = new std::map<int, Ring>;
  int device = 0;
  ESPALIER_CUDA(cudaGetDevice(&device));
  return (*all)[device];
}

void queue(void* to, const void* from, int64_t bytes, cudaMemcpyKind kind, Piece& piece) {
  ESPALIER_CUDA(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream()));
  ESPALIER_CUDA(cudaEventRecord(piece.done, stream()));
  piece.used = true;
}

}  // namespace

void upload(const void* host, void* device, int64_t bytes) {
  const std::lock_guard<std::mutex> hold(g_lock);
  Ring& pinned = ring();
  for (int64_t at = 0; at < bytes; at += kPiece) {
    const int64_t part = std::min(kPiece, bytes - at);
    Piece& piece = pinned.take();
    std::memcpy(piece.host, static_cast<const char*>(host) + at, static_cast<size_t>(part));
    queue(static_cast<char*>(device) + at, piece.host, part, cudaMemcpyHostToDevice, piece);
  }
}

void download(const void* device, void* host, int64_t bytes) {
  {
    const std::lock_guard<std::mutex> hold(g_lock);
    Ring& pinned = ring();
    Piece* before = nullptr;
    int64_t before_at = 0;
    const auto empty = [&](int64_t end) {
      ESPALIER_CUDA(cudaEventSynchronize(before->done));
      std::memcpy(static_cast<char*>(host) + before_at, before->host, static_cast<size_t>(end - before_at));
      before->used = false;
    };
    for (int64_t at = 0; at < bytes; at += kPiece) {
      Piece& piece = pinned.take();
      queue(piece.host, static_cast<const char*>(device) + at, std::min(kPiece, bytes - at), cudaMemcpyDeviceToHost,
            piece);
      if (before != nullptr) empty(at);
      before = &piece;
      before_at = at;
    }
    if (before != nullptr) empty(bytes);
  }
  synchronize();
}

}  // namespace espalier::cuda
