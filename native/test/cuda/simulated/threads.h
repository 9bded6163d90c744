// A GPU's threads on the CPU: the blocks of a kernel one after the other (those of a cluster together), each thread
// of a block a fiber that runs until it waits for others. One thread of the machine runs them all, in an order that
// is shuffled anew for every block, so that what is right only in one order does not pass for long.
//
// It is a harsh device: shared memory begins as NaN, what is asynchronous happens as late as it may (`eventually`, and
// the instructions in cuda/core/ptx), a wait that nobody ends is reported.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <type_traits>
#include <utility>

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3() = default;
  constexpr dim3(unsigned a, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

// Of the thread that runs.
inline uint3 threadIdx, blockIdx;
inline dim3 blockDim, gridDim;

namespace espalier::simulated {

// Launching

struct Configuration {
  dim3 grid, block;
  size_t shared_bytes = 0;
  void* stream = nullptr;  // not looked at: work is done when it is asked for
  unsigned cluster = 1;
};
// Runs `kernel` for every thread; a configuration that no device takes is left to cudaGetLastError.
void launch(const char* name, const Configuration& configuration, const std::function<void()>& kernel);

// Threads

struct Thread {
  uint3 index;
  int number = 0;                      // in its block
  std::shared_ptr<void> instructions;  // what asynchronous instructions have under way
};
Thread& self();
inline int lane() { return self().number % 32; }

// Waits until *word is no longer `value`.
void wait_while(const uint32_t* word, uint32_t value);
// What the device does by itself: some steps later, and in any order.
void eventually(std::function<void()> work);
// A fault of the kernel: says where, and ends the process.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// `count` threads of the block meet at its barrier `id`; 0 threads: all that have not ended.
void meet(int id, int count);
// The sum of what every thread of the block brings.
int meet_and_sum(int value);

namespace detail {
// Of the lanes of a warp that meet under one mask.
struct Meeting {
  unsigned arrived = 0;
  uint32_t generation = 0;
  const void* reason = nullptr;  // the instruction they meet at
  void* of_lane[32] = {};
};
Meeting& meeting(unsigned mask);
}  // namespace detail

// The lanes of `mask` meet. The last to come calls work(all) for all of them: all[l] is what lane l passed.
template <class T, class Work>
void together(unsigned mask, T* mine, Work work) {
  if ((mask >> lane() & 1) == 0) fail("lane %d meets others under the mask %08x, which leaves it out", lane(), mask);
  detail::Meeting& here = detail::meeting(mask);
  static const char reason = 0;
  if (here.arrived != 0 && here.reason != &reason)
    fail("lanes meet at different instructions under the mask %08x", mask);
  here.reason = &reason;
  const uint32_t before = here.generation;
  here.of_lane[lane()] = const_cast<std::remove_const_t<T>*>(mine);
  here.arrived |= 1u << lane();
  if (here.arrived != mask) return wait_while(&here.generation, before);
  T* all[32];
  for (int l = 0; l < 32; ++l) all[l] = mask >> l & 1 ? static_cast<T*>(here.of_lane[l]) : nullptr;
  here.arrived = 0;
  ++here.generation;
  work(static_cast<T* const*>(all));
}

// Clusters

int cluster_rank();
int cluster_size();
void cluster_arrive();
void cluster_wait();

// Shared memory: an address has 32 bits, the rank of its block in the cluster above bit 20.

uint32_t shared_address(const void* at);
unsigned char* shared_at(uint32_t address);
// What the block was launched with, at a multiple of `align` and not of more.
unsigned char* dynamic_shared(size_t align);
// The block's variable that `key` stands for.
unsigned char* shared_variable(const void* key, size_t bytes, size_t align);

template <class T>
T* dynamic_shared_as(size_t align = alignof(T)) {
  return reinterpret_cast<T*>(dynamic_shared(align < alignof(T) ? alignof(T) : align));
}
template <class T>
T& shared_variable_as(const void* key, size_t align = alignof(T)) {
  return *reinterpret_cast<T*>(shared_variable(key, sizeof(T), align < alignof(T) ? alignof(T) : align));
}

}  // namespace espalier::simulated
