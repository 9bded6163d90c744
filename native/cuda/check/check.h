// Checks of device functions against the CPU's in float64, and benches: a file a family registers both.
//
//   ESPALIER_CHECK(sum_of_rows) {
//     Array x = random(64 * 99), y = result(64);
//     same(1e-6, espalier_sum, espalier_cuda_sum, dims({64, 99}), dims({0, 1}), 1.0, x, y);
//   }
//
// `same` calls both functions with the same values (rounded to the device's element type; the CPU's side
// computes in float64) and compares every array that the signature writes.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "espalier_cuda.h"

namespace espalier::check {

// The values of one argument on both sides. Float arrays are doubles on the CPU; integers are the same on both.
class Array {
 public:
  Array() = default;  // an absent one
  Array(espalier_dtype dtype, std::vector<double> values, bool defined);
  Array(Array&&) noexcept;
  Array& operator=(Array&&) noexcept;
  ~Array();

  int64_t size() const { return static_cast<int64_t>(host_.size()); }
  espalier_dtype dtype() const { return dtype_; }
  // Values as they stand on the CPU; after `fetch` as they stand on the device.
  const std::vector<double>& host() const { return host_; }
  std::vector<double> fetch() const;
  // For calls made by hand.
  espalier_in in() const { return {device_, size(), dtype_}; }
  espalier_out out() const { return {device_, size(), dtype_}; }
  template <class T>
  T* device() const {
    return static_cast<T*>(device_);
  }
  // Puts NaN (0xFF bytes) into every element on the device, so that one that is not written shows.
  void poison();
  bool defined() const { return defined_; }

  espalier_in host_in();
  espalier_out host_out();
  void host_written();  // takes over what the CPU's function wrote

 private:
  espalier_dtype dtype_ = ESPALIER_FLOAT32;
  std::vector<double> host_;
  std::vector<unsigned char> packed_;  // the CPU's side in the type its function takes
  void* device_ = nullptr;
  bool defined_ = false;
};

// Uniform in [low, high), reproducible: every check starts from the same seed.
Array random(int64_t n, double low = -1, double high = 1, espalier_dtype dtype = ESPALIER_FLOAT32);
// Whole numbers in [low, high).
Array integers(int64_t n, int64_t low, int64_t high, espalier_dtype dtype = ESPALIER_INT32);
// 1 with probability `density`, else 0.
Array mask(int64_t n, double density, espalier_dtype dtype = ESPALIER_FLOAT32);
Array given(std::vector<double> values, espalier_dtype dtype = ESPALIER_FLOAT32);
// Written by the function: poisoned before the call.
Array result(int64_t n, espalier_dtype dtype = ESPALIER_FLOAT32);
inline Array absent() { return {}; }
// A random whole number in [low, high], for shapes.
int64_t any(int64_t low, int64_t high);

struct Dims {
  std::vector<int64_t> values;
};
inline Dims dims(std::vector<int64_t> values) { return {std::move(values)}; }

// Whether this device can afford a case of so many multiply-adds, or what takes as long: a simulated one takes some
// nanoseconds for each, and leaves out what would take it long. A check all of whose cases are left out counts as
// skipped, not as passed.
bool affordable(double operations);

// A failed check is thrown and counted.
struct Mismatch {
  std::string message;
};
[[noreturn]] void mismatch(const char* format, ...) __attribute__((format(printf, 1, 2)));
void require(bool holds, const char* what);
void ok(espalier_status status, const char* call);
// ‖out − ref‖ ≤ tolerance·‖ref‖ and no element further off than 32 times that share of the largest |ref|; NaN
// only where the reference has it.
void close(const std::vector<double>& out, const std::vector<double>& ref, double tolerance, const char* what);

// One argument as the function's parameter type wants it, on the CPU (host) or the device.
template <class P, class A>
P argument(A& given, bool host) {
  if constexpr (std::is_same_v<P, espalier_in>) return host ? given.host_in() : given.in();
  else if constexpr (std::is_same_v<P, espalier_out>) {
    if (!host && !given.defined()) given.poison();
    return host ? given.host_out() : given.out();
  } else if constexpr (std::is_same_v<P, espalier_dims>) {
    return {given.values.data(), static_cast<int64_t>(given.values.size())};
  } else {
    return static_cast<P>(given);
  }
}

template <class P, class A>
void compare(A& given, double tolerance, int position) {
  if constexpr (std::is_same_v<P, espalier_out>) {
    if (given.size() == 0) return;
    given.host_written();
    close(given.fetch(), given.host(), tolerance, ("argument " + std::to_string(position)).c_str());
  }
}

template <class... P, class... A>
void same(double tolerance, espalier_status (*cpu)(P...), espalier_status (*device)(P...), A&&... given) {
  static_assert(sizeof...(P) == sizeof...(A), "every argument of the function");
  // The device goes first: what is both read and written must start alike.
  ok(device(argument<P>(given, false)...), "device");
  ok(espalier_cuda_synchronize(), "synchronize");
  ok(cpu(argument<P>(given, true)...), "host");
  int position = 0;
  (compare<P>(given, tolerance, ++position), ...);
}

// Benches

// One line of the result. `limit` is the time that memory or arithmetic sets at the least, in ms; 0: unknown.
struct Row {
  std::string task, name, rival;
  double ours = 0, theirs = 0, limit = 0;
  bool verified = false;
};
void report(const Row& row);

// The median of `repeats` timings of body by device events on the current stream, in ms, after a warm-up.
double time_ms(const std::function<void()>& body, int repeats = 20, int warmup = 5);
// What the device copies within its memory in a second, read and written bytes together: measured once.
double copy_bandwidth();

struct Registration {
  Registration(const char* name, void (*run)(), bool bench);
};
#define ESPALIER_CHECK(name)                                                                  \
  static void check_##name();                                                                 \
  static const ::espalier::check::Registration registered_##name(#name, check_##name, false); \
  static void check_##name()
#define ESPALIER_BENCH(name)                                                                       \
  static void bench_##name();                                                                      \
  static const ::espalier::check::Registration registered_bench_##name(#name, bench_##name, true); \
  static void bench_##name()

}  // namespace espalier::check
