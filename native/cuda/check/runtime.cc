// Devices, memory, streams.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "cuda/check/check.h"

using namespace espalier::check;

ESPALIER_CHECK(memory_is_reused) {
  void *first = nullptr, *second = nullptr;
  ok(espalier_cuda_allocate(1000, &first), "allocate");
  ok(espalier_cuda_free(first), "free");
  ok(espalier_cuda_allocate(900, &second), "allocate");
  require(first == second, "a block of the same rounded size is handed out again");
  ok(espalier_cuda_free(second), "free");
  require(espalier_cuda_free(second) == ESPALIER_INVALID_ARGUMENT, "freeing twice is an error");
}

ESPALIER_CHECK(out_of_memory_has_figures) {
  void* address = nullptr;
  require(espalier_cuda_allocate(int64_t{1} << 45, &address) == ESPALIER_OUT_OF_MEMORY, "32 TiB are refused");
  require(std::string(espalier_last_error()).find("free of") != std::string::npos, "the message has figures");
  ok(espalier_cuda_allocate(4096, &address), "allocation goes on");
  ok(espalier_cuda_free(address), "free");
}

ESPALIER_CHECK(transfers) {
  const int64_t piece = 4 << 20;  // core/transfer.cc
  for (const int64_t bytes : {int64_t{0}, int64_t{1}, int64_t{1001}, piece - 1, piece, piece + 1, 11 * piece + 17}) {
    std::vector<unsigned char> sent(static_cast<size_t>(bytes)), back(sent.size(), 0xee);
    for (size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<unsigned char>(i * 31 + (i >> 16));
    const std::vector<unsigned char> expected = sent;
    void* address = nullptr;
    ok(espalier_cuda_allocate(bytes, &address), "allocate");
    ok(espalier_cuda_upload(sent.data(), address, bytes), "upload");
    std::fill(sent.begin(), sent.end(), 0);  // the call has read it
    ok(espalier_cuda_download(address, back.data(), bytes), "download");
    require(back == expected, "what comes back is what was sent");
    ok(espalier_cuda_free(address), "free");
  }
}

ESPALIER_CHECK(casts) {
  for (const espalier_dtype to :
       {ESPALIER_FLOAT64, ESPALIER_FLOAT16, ESPALIER_BFLOAT16, ESPALIER_INT32, ESPALIER_INT8}) {
    Array x = random(1000, -100, 100), y = result(1000, to);
    ok(espalier_cuda_cast(x.in(), y.out()), "cast");
    const std::vector<double> got = y.fetch();
    for (size_t i = 0; i < got.size(); ++i) {
      const double off = std::fabs(got[i] - x.host()[i]);
      const double allowed = to == ESPALIER_BFLOAT16  ? 0.5
                             : to == ESPALIER_FLOAT16 ? 0.05
                             : to == ESPALIER_FLOAT64 ? 0
                                                      : 1;
      require(off <= allowed, "a cast keeps the value");
    }
  }
}

ESPALIER_CHECK(streams_overlap_safely) {
  int64_t other = 0;
  Array x = random(1 << 20), y = result(1 << 20), z = result(1 << 20);
  ok(espalier_cuda_copy(x.device<float>(), y.device<float>(), 4 << 20), "copy");
  ok(espalier_cuda_stream_create(&other), "create");
  ok(espalier_cuda_set_stream(other), "set");
  ok(espalier_cuda_wait_stream(0), "wait");
  ok(espalier_cuda_copy(y.device<float>(), z.device<float>(), 4 << 20), "copy");
  ok(espalier_cuda_synchronize(), "synchronize");
  ok(espalier_cuda_set_stream(0), "set");
  ok(espalier_cuda_stream_destroy(other), "destroy");
  close(z.fetch(), x.host(), 0, "the copy of the copy");
  require(espalier_cuda_set_stream(other) == ESPALIER_INVALID_ARGUMENT, "a destroyed stream is none");
}
