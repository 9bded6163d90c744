#include "cuda/check/check.h"
#include "cuda/check/program.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>

#include "cuda/core/device.h"

namespace espalier::check {
namespace {

std::mt19937_64 g_random;
Afforded g_afforded;

int64_t size_of(espalier_dtype dtype) {
  switch (dtype) {
    case ESPALIER_FLOAT64: return 8;
    case ESPALIER_FLOAT32:
    case ESPALIER_INT32: return 4;
    case ESPALIER_INT8:
    case ESPALIER_UINT8: return 1;
    default: return 2;
  }
}
bool is_float(espalier_dtype dtype) {
  return dtype == ESPALIER_FLOAT32 || dtype == ESPALIER_FLOAT64 || dtype == ESPALIER_FLOAT16 ||
         dtype == ESPALIER_BFLOAT16;
}

// Doubles on the device, as the way into and out of the types C++ has no names for here.
struct Staged {
  explicit Staged(int64_t n) : n(n) { ok(espalier_cuda_allocate(8 * n, &data), "allocate"); }
  ~Staged() { espalier_cuda_free(data); }
  espalier_in in() const { return {data, n, ESPALIER_FLOAT64}; }
  espalier_out out() const { return {data, n, ESPALIER_FLOAT64}; }
  int64_t n;
  void* data = nullptr;
};

template <class T>
void convert(const std::vector<double>& from, std::vector<unsigned char>& to) {
  T* const at = reinterpret_cast<T*>(to.data());
  for (size_t i = 0; i < from.size(); ++i) at[i] = static_cast<T>(from[i]);
}
template <class T>
void convert(const std::vector<unsigned char>& from, std::vector<double>& to) {
  const T* const at = reinterpret_cast<const T*>(from.data());
  for (size_t i = 0; i < to.size(); ++i) to[i] = static_cast<double>(at[i]);
}
template <class From, class To>
void convert_host(espalier_dtype dtype, const From& from, To& to) {
  switch (dtype) {
    case ESPALIER_INT32: return convert<int32_t>(from, to);
    case ESPALIER_INT16: return convert<int16_t>(from, to);
    case ESPALIER_INT8: return convert<int8_t>(from, to);
    case ESPALIER_UINT8: return convert<uint8_t>(from, to);
    default: return convert<double>(from, to);
  }
}

}  // namespace

std::vector<Entry>& entries() {
  static std::vector<Entry> all;
  return all;
}
void begin_check() {
  g_random.seed(20240607);
  g_afforded = {};
}
Afforded afforded() { return g_afforded; }

bool affordable(double operations) {
#if defined(ESPALIER_SIMULATED_ARCH)
  constexpr double kMost = 5e8;
#else
  constexpr double kMost = std::numeric_limits<double>::infinity();
#endif
  const bool yes = operations <= kMost;
  ++(yes ? g_afforded.cases : g_afforded.left_out);
  return yes;
}

void mismatch(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  throw Mismatch{text};
}
void require(bool holds, const char* what) {
  if (!holds) mismatch("%s does not hold", what);
}
void ok(espalier_status status, const char* call) {
  if (status != ESPALIER_OK) mismatch("%s: %s", call, espalier_last_error());
}

Array::Array(espalier_dtype dtype, std::vector<double> values, bool defined)
    : dtype_(dtype), host_(std::move(values)), defined_(defined) {
  ok(espalier_cuda_allocate(size() * size_of(dtype), &device_), "allocate");
  if (!defined || size() == 0) return;
  Staged staged(size());
  ok(espalier_cuda_upload(host_.data(), staged.data, 8 * size()), "upload");
  ok(espalier_cuda_cast(staged.in(), out()), "cast");
  host_ = fetch();  // as the device's type rounds them
}
Array::Array(Array&& other) noexcept { *this = std::move(other); }
Array& Array::operator=(Array&& other) noexcept {
  std::swap(dtype_, other.dtype_);
  std::swap(host_, other.host_);
  std::swap(packed_, other.packed_);
  std::swap(device_, other.device_);
  std::swap(defined_, other.defined_);
  return *this;
}
Array::~Array() {
  if (device_ != nullptr) espalier_cuda_free(device_);
}
std::vector<double> Array::fetch() const {
  std::vector<double> values(host_.size());
  if (values.empty()) return values;
  Staged staged(size());
  ok(espalier_cuda_cast(in(), staged.out()), "cast");
  ok(espalier_cuda_download(staged.data, values.data(), 8 * size()), "download");
  return values;
}
void Array::poison() {
  if (size() > 0) ok(espalier_cuda_fill_bytes(device_, 255, size() * size_of(dtype_)), "fill");
}
espalier_in Array::host_in() {
  const espalier_out as = host_out();
  return {as.data, as.length, as.dtype};
}
espalier_out Array::host_out() {
  if (device_ == nullptr) return {nullptr, 0, ESPALIER_FLOAT32};
  const espalier_dtype dtype = is_float(dtype_) ? ESPALIER_FLOAT64 : dtype_;
  if (packed_.empty()) {
    packed_.resize(static_cast<size_t>(std::max<int64_t>(1, size() * size_of(dtype))));
    convert_host(dtype, host_, packed_);
  }
  return {packed_.data(), size(), dtype};
}
void Array::host_written() { convert_host(is_float(dtype_) ? ESPALIER_FLOAT64 : dtype_, packed_, host_); }

Array random(int64_t n, double low, double high, espalier_dtype dtype) {
  std::uniform_real_distribution<double> draw(low, high);
  std::vector<double> values(static_cast<size_t>(n));
  for (double& value : values) value = draw(g_random);
  return {dtype, std::move(values), true};
}
Array integers(int64_t n, int64_t low, int64_t high, espalier_dtype dtype) {
  std::uniform_int_distribution<int64_t> draw(low, high - 1);
  std::vector<double> values(static_cast<size_t>(n));
  for (double& value : values) value = static_cast<double>(draw(g_random));
  return {dtype, std::move(values), true};
}
Array mask(int64_t n, double density, espalier_dtype dtype) {
  std::bernoulli_distribution draw(density);
  std::vector<double> values(static_cast<size_t>(n));
  for (double& value : values) value = draw(g_random);
  return {dtype, std::move(values), true};
}
Array given(std::vector<double> values, espalier_dtype dtype) { return {dtype, std::move(values), true}; }
Array result(int64_t n, espalier_dtype dtype) { return {dtype, std::vector<double>(static_cast<size_t>(n)), false}; }
int64_t any(int64_t low, int64_t high) { return std::uniform_int_distribution<int64_t>(low, high)(g_random); }

void close(const std::vector<double>& out, const std::vector<double>& ref, double tolerance, const char* what) {
  if (out.size() != ref.size()) mismatch("%s: %zu elements, expected %zu", what, out.size(), ref.size());
  double difference = 0, norm = 0, largest = 0, furthest = 0;
  size_t where = 0;
  for (size_t i = 0; i < ref.size(); ++i) {
    if (std::isnan(ref[i]) != std::isnan(out[i])) mismatch("%s[%zu] is %g, expected %g", what, i, out[i], ref[i]);
    if (std::isnan(ref[i])) continue;
    if (std::isinf(ref[i]) || std::isinf(out[i])) {
      if (ref[i] != out[i]) mismatch("%s[%zu] is %g, expected %g", what, i, out[i], ref[i]);
      continue;
    }
    const double off = std::fabs(out[i] - ref[i]);
    if (off > furthest) furthest = off, where = i;
    difference += off * off;
    norm += ref[i] * ref[i];
    largest = std::max(largest, std::fabs(ref[i]));
  }
  if (std::sqrt(difference) > tolerance * std::sqrt(norm) || furthest > 32 * tolerance * largest)
    mismatch("%s: off by %.2e of the norm (allowed %.1e); furthest at [%zu]: %.9g, expected %.9g", what,
             norm > 0 ? std::sqrt(difference / norm) : std::sqrt(difference), tolerance, where, out[where], ref[where]);
}

void report(const Row& row) {
  report_line(row);
  std::printf("  %-28s %-44s %9.4f ms  %s %9.4f ms  x%.2f%s%s\n", row.task.c_str(), row.name.c_str(), row.ours,
              row.rival.c_str(), row.theirs, row.ours > 0 ? row.theirs / row.ours : 0,
              row.limit > 0
                  ? ("  " + std::to_string(static_cast<int>(100 * row.limit / row.ours)) + "% of the limit").c_str()
                  : "",
              row.verified ? "" : "  NOT VERIFIED");
  std::fflush(stdout);
}

double time_ms(const std::function<void()>& body, int repeats, int warmup) {
  for (int i = 0; i < warmup; ++i) body();
  cudaEvent_t begin, end;
  ESPALIER_CUDA(cudaEventCreate(&begin));
  ESPALIER_CUDA(cudaEventCreate(&end));
  std::vector<float> times(static_cast<size_t>(repeats));
  for (float& time : times) {
    ESPALIER_CUDA(cudaEventRecord(begin, cuda::stream()));
    body();
    ESPALIER_CUDA(cudaEventRecord(end, cuda::stream()));
    ESPALIER_CUDA(cudaEventSynchronize(end));
    ESPALIER_CUDA(cudaEventElapsedTime(&time, begin, end));
  }
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  std::nth_element(times.begin(), times.begin() + repeats / 2, times.end());
  return times[static_cast<size_t>(repeats / 2)];
}

double copy_bandwidth() {
  static const double measured = [] {
    const int64_t bytes = int64_t{1} << 31;
    void *from = nullptr, *to = nullptr;
    ok(espalier_cuda_allocate(bytes, &from), "allocate");
    ok(espalier_cuda_allocate(bytes, &to), "allocate");
    const double ms = time_ms([&] { ok(espalier_cuda_copy(from, to, bytes), "copy"); });
    espalier_cuda_free(from);
    espalier_cuda_free(to);
    return 2.0 * static_cast<double>(bytes) / (ms * 1e-3);
  }();
  return measured;
}

Registration::Registration(const char* name, void (*run)(), bool bench) { entries().push_back({name, run, bench}); }

}  // namespace espalier::check
