// The CUDA library's logic on the host against a runtime that records: allocator, streams, transfers, errors.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "core/failure.h"
#include "cuda/core/device.h"
#include "cuda/core/memory.h"
#include "cuda/core/streams.h"
#include "cuda/core/transfer.h"
#include "cuda/nest.h"
#include "stub.h"

namespace espalier::cuda {
namespace {

class Core : public testing::Test {
 protected:
  void SetUp() override {
    cudaSetDevice(0);
    set_current_stream(0);
    empty_cache();
    stub::forget();
  }
};

// What a call throws, as "status: message".
template <class Body>
std::string failure_of(Body body) {
  try {
    body();
  } catch (const Failure& failure) {
    return std::to_string(failure.status()) + ": " + failure.what();
  }
  return "";
}

TEST_F(Core, BlocksAreReusedBySizeWithoutTheDriver) {
  void* const first = allocate(1000);
  release(first);
  EXPECT_EQ(allocate(900), first);  // both are rounded to 1024
  EXPECT_EQ(stub::count("cudaMalloc"), 1);
  void* const other = allocate(2000);
  EXPECT_NE(other, first);
  EXPECT_EQ(stub::count("cudaMalloc 2048"), 1);
  release(first);
  release(other);
  EXPECT_EQ(stub::count("cudaFree"), 0);
}

TEST_F(Core, SizesAreRoundedByAnEighthAtMost) {
  for (const int64_t bytes : {int64_t{1}, int64_t{512}, int64_t{513}, int64_t{1} << 20, (int64_t{1} << 20) + 1,
                              int64_t{77777777}, int64_t{400000001}}) {
    stub::forget();
    void* const block = allocate(bytes);
    const int64_t got = std::stoll(stub::calls().back().substr(sizeof "cudaMalloc"));
    EXPECT_GE(got, bytes);
    EXPECT_LE(got, std::max(bytes + 511, bytes + bytes / 8)) << bytes;
    release(block);
    empty_cache();
  }
}

TEST_F(Core, UsageIsCounted) {
  int64_t used = -1, cached = -1;
  memory_usage(&used, &cached);
  EXPECT_EQ(used, 0);
  EXPECT_EQ(cached, 0);
  void* const block = allocate(4096);
  memory_usage(&used, &cached);
  EXPECT_EQ(used, 4096);
  EXPECT_TRUE(owned(block));
  release(block);
  EXPECT_FALSE(owned(block));
  release(block);  // a second time changes nothing
  memory_usage(&used, &cached);
  EXPECT_EQ(used, 0);
  EXPECT_EQ(cached, 4096);
  empty_cache();
  memory_usage(&used, &cached);
  EXPECT_EQ(cached, 0);
  EXPECT_EQ(stub::allocated(0), 0);
  EXPECT_EQ(stub::count("cudaFree"), 1);
}

TEST_F(Core, OutOfMemoryGivesBackWhatIsSpareAndTriesAgain) {
  std::vector<void*> blocks;
  for (int i = 0; i < 3; ++i) blocks.push_back(allocate(stub::kMemory / 4));
  for (void* const block : blocks) release(block);
  void* const large = allocate(stub::kMemory / 2);
  EXPECT_EQ(stub::count("cudaFree"), 3);
  const std::string failure = failure_of([] { allocate(stub::kMemory * 3 / 4); });
  EXPECT_NE(failure.find(std::to_string(ESPALIER_OUT_OF_MEMORY) + ": "), std::string::npos);
  EXPECT_NE(failure.find(std::to_string(stub::kMemory * 3 / 4) + " bytes asked for"), std::string::npos) << failure;
  EXPECT_NE(failure.find(std::to_string(stub::kMemory / 2) + " in use here"), std::string::npos) << failure;
  EXPECT_NE(failure.find(std::to_string(stub::kMemory / 2) + " free of"), std::string::npos) << failure;
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);  // the failure is over
  release(large);
}

TEST_F(Core, AbsurdSizesAreRefused) {
  EXPECT_NE(failure_of([] { allocate(-1); }), "");
  EXPECT_NE(failure_of([] { allocate(int64_t{1} << 60); }), "");
  EXPECT_EQ(stub::count("cudaMalloc"), 0);
}

TEST_F(Core, StreamsAndDevicesDoNotShareSpareBlocks) {
  void* const here = allocate(4096);
  release(here);
  const int64_t other = create_stream();
  set_current_stream(other);
  void* const there = allocate(4096);
  EXPECT_NE(there, here);
  set_current_stream(0);
  EXPECT_EQ(allocate(4096), here);
  cudaSetDevice(1);
  void* const elsewhere = allocate(4096);
  EXPECT_NE(elsewhere, here);
  EXPECT_EQ(stub::allocated(1), 4096);
  release(elsewhere);  // freed from whichever device is current
  release(here);
  release(there);
  cudaSetDevice(0);
  destroy_stream(other);
}

TEST_F(Core, ADestroyedStreamLeavesItsBlocksToStream0) {
  const int64_t other = create_stream();
  set_current_stream(other);
  void* const spare = allocate(4096);
  void* const live = allocate(8192);
  release(spare);
  destroy_stream(other);
  EXPECT_EQ(current_stream().number, 0);
  EXPECT_GE(stub::count("cudaStreamSynchronize"), 1);
  EXPECT_EQ(allocate(4096), spare);
  release(live);
  EXPECT_EQ(allocate(8192), live);
  release(live);
  release(spare);
  EXPECT_NE(failure_of([&] { set_current_stream(other); }), "");
  EXPECT_NE(failure_of([] { destroy_stream(0); }), "");
}

TEST_F(Core, TheStreamOfADeviceIsMadeOnce) {
  const cudaStream_t first = stream();
  EXPECT_EQ(stream(), first);
  cudaSetDevice(1);
  EXPECT_NE(stream(), first);
  EXPECT_LE(stub::count("cudaStreamCreate"), 1);
}

TEST_F(Core, UploadsReturnBeforeTheyAreDone) {
  std::vector<char> host(10 << 20), device(10 << 20);
  for (size_t i = 0; i < host.size(); ++i) host[i] = static_cast<char>(i * 7 + i / 999);
  upload(host.data(), device.data(), static_cast<int64_t>(host.size()));
  EXPECT_EQ(stub::count("cudaStreamSynchronize"), 0);
  EXPECT_EQ(stub::count("cudaMemcpyAsync"), 3);  // pieces of 4 MiB
  const std::vector<char> sent = host;
  std::fill(host.begin(), host.end(), 0);  // the host's memory may be used again
  synchronize();
  EXPECT_TRUE(sent == device);
}

TEST_F(Core, UploadsReusePinnedPiecesOnlyWhenTheirCopyIsDone) {
  std::vector<char> host(64 << 20), device(64 << 20);
  for (size_t i = 0; i < host.size(); ++i) host[i] = static_cast<char>(i >> 12);
  upload(host.data(), device.data(), static_cast<int64_t>(host.size()));
  synchronize();
  EXPECT_TRUE(host == device);
  EXPECT_LE(stub::count("cudaHostAlloc"), 4);
  EXPECT_GE(stub::count("cudaEventSynchronize"), 12);
}

TEST_F(Core, DownloadsWaitForWhatWasQueuedBefore) {
  std::vector<char> host(9 << 20), device(9 << 20), back(9 << 20);
  std::iota(host.begin(), host.end(), 0);
  upload(host.data(), device.data(), static_cast<int64_t>(host.size()));
  download(device.data(), back.data(), static_cast<int64_t>(back.size()));
  EXPECT_TRUE(back == host);
  download(device.data(), back.data(), 0);
  char one = 0;
  download(device.data() + 5, &one, 1);
  EXPECT_EQ(one, host[5]);
}

TEST_F(Core, FailuresOfTheRuntimeAreNamed) {
  std::vector<char> host(16), device(16);
  stub::fail_next("cudaMemcpyAsync", cudaErrorLaunchFailure);
  const std::string failure = failure_of([&] { upload(host.data(), device.data(), 16); });
  EXPECT_NE(failure.find("cudaMemcpyAsync"), std::string::npos) << failure;
  EXPECT_NE(failure.find("launch failure"), std::string::npos) << failure;
  stub::fail_next("cudaStreamSynchronize", cudaErrorLaunchFailure);
  EXPECT_NE(failure_of([] { synchronize(); }), "");
  EXPECT_EQ(failure_of([] { synchronize(); }), "");  // reported once
  upload(host.data(), device.data(), 16);
  synchronize();
}

TEST_F(Core, FaultsOfTheDataCarryTheFunctionsName) {
  const int32_t source = fault_source("espalier_cuda_embedding_forward");
  EXPECT_EQ(fault_source("espalier_cuda_embedding_forward"), source);
  EXPECT_NE(fault_source("another"), source);
  const struct {
    FaultKind kind;
    const char* says;
  } cases[] = {{FaultKind::kIndexOutOfRange, "index 42 is out of range"},
               {FaultKind::kNotANumber, "NaN"},
               {FaultKind::kBadScale, "scale is not positive"}};
  for (const auto& each : cases) {
    *faults() = {static_cast<int32_t>(each.kind), source, 42};  // as a kernel leaves it
    const std::string failure = failure_of([] { synchronize(); });
    EXPECT_NE(failure.find("embedding_forward: "), std::string::npos) << failure;
    EXPECT_NE(failure.find(each.says), std::string::npos) << failure;
    EXPECT_EQ(failure_of([] { synchronize(); }), "");
  }
}

TEST_F(Core, TraitsAreAskedOnce) {
  EXPECT_EQ(traits().capability, 90);
  stub::forget();
  EXPECT_EQ(traits().multiprocessors, 132);
  EXPECT_EQ(stub::count("cudaDeviceGetAttribute"), 0);
}

TEST_F(Core, TemporariesReturnAtTheEndOfTheirScope) {
  int64_t used = 0, cached = 0;
  {
    const Temporary<double> some(100), none(0);
    EXPECT_NE(some.get(), nullptr);
    EXPECT_EQ(none.get(), nullptr);
    memory_usage(&used, &cached);
    EXPECT_EQ(used, 1024);
  }
  memory_usage(&used, &cached);
  EXPECT_EQ(used, 0);
}

TEST(Plans, DividersDivide) {
  for (const int64_t divisor : {int64_t{1}, int64_t{2}, int64_t{3}, int64_t{7}, int64_t{641}, int64_t{65536},
                                int64_t{65537}, (int64_t{1} << 31) - 1, int64_t{1} << 31, (int64_t{1} << 40) + 1}) {
    const Divider divider(divisor);
    for (const int64_t n : {int64_t{0}, int64_t{1}, divisor - 1, divisor, divisor + 1, int64_t{123456789},
                            (int64_t{1} << 31) - 1, int64_t{1} << 31, (int64_t{1} << 45) + 12345}) {
      int64_t remainder = -1;
      EXPECT_EQ(divider.split(n, remainder), n / divisor) << n << " / " << divisor;
      EXPECT_EQ(remainder, n % divisor);
    }
  }
}

}  // namespace
}  // namespace espalier::cuda
