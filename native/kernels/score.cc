#include "kernels/score.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

#include "core/failure.h"

#define ESPALIER_KERNEL "kernels/score.inl"
#include "simd/each_isa.h"

namespace espalier::kernels {
namespace {

// Orders entries by |x|, then by index: a radix sort over the bits of |x|, which rise with it.
template <class T>
class Order {
 public:
  typedef std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t> Bits;
  struct Entry {
    Bits bits;
    uint32_t index;
  };

  Order(const T* x, int64_t n) : entries_(new Entry[n]), spare_(new Entry[n]) {
    for (int64_t i = 0; i < n; ++i) {
      const T magnitude = std::abs(x[i]);
      if (magnitude != magnitude) fail(ESPALIER_INVALID_ARGUMENT, "x holds a NaN");
      std::memcpy(&entries_[i].bits, &magnitude, sizeof(T));
      entries_[i].index = static_cast<uint32_t>(i);
    }
    for (int shift = 0; shift < static_cast<int>(8 * sizeof(T)); shift += kDigit) pass(n, shift);
  }

  const Entry& operator[](int64_t i) const { return entries_[i]; }

 private:
  static constexpr int kDigit = 11;

  void pass(int64_t n, int shift) {
    const auto digit = [shift](const Entry& entry) { return entry.bits >> shift & ((1 << kDigit) - 1); };
    std::array<int64_t, 1 << kDigit> next{};
    for (int64_t i = 0; i < n; ++i) ++next[digit(entries_[i])];
    int64_t start = 0;
    for (int64_t& count : next) start += std::exchange(count, start);
    for (int64_t i = 0; i < n; ++i) spare_[next[digit(entries_[i])]++] = entries_[i];
    std::swap(entries_, spare_);
  }

  std::unique_ptr<Entry[]> entries_, spare_;
};

}  // namespace

template <class T>
void lamp_score(const T* x, int64_t n, T* y) {
  const Order<T> order(x, n);
  double sum = 0;
  for (int64_t i = n; i-- > 0;) {
    const uint32_t at = order[i].index;
    const double square = double{x[at]} * double{x[at]};
    sum += square;
    y[at] = square == 0 ? T{0} : std::isinf(square) ? T{1} : static_cast<T>(square / sum);
  }
}
template void lamp_score(const float*, int64_t, float*);
template void lamp_score(const double*, int64_t, double*);

template <class T>
void distance_sums(const T* x, int64_t rows, int64_t columns, T* y) {
  const int64_t grain = std::max<int64_t>(1, (1 << 20) / std::max<int64_t>(1, rows * columns));
  parallel_ranges(rows, grain, [=](int64_t begin, int64_t end) {
    ESPALIER_ON_ISA(distance_sums<T>(x, rows, columns, begin, end, y));
  });
}
template void distance_sums(const float*, int64_t, int64_t, float*);
template void distance_sums(const double*, int64_t, int64_t, double*);

}  // namespace espalier::kernels
