// Exact selection by digits. Of each of several rows the entry of a given rank is sought, in the order of
// (key, place): key first, of equal keys the lower place. Digit by digit, from the highest on, the entries
// that share the digits found so far are counted by their next digit, and the digit that holds the rank is
// taken; first for the key, then, among the entries with that key, for the place. Nothing is sorted and
// nothing moves; counts are integers, so the result is the same whatever the order of the threads.
//
// A source says what the entries are:
//   using Key;  bool get(int64_t row, int64_t i, Key* key) const   the entry's key; false: not in play
//   uint64_t place(int64_t row, int64_t i) const    asked for those in play
//   int64_t rank(int64_t row) const                 the rank sought, from 0; the last entry's where it is more
#pragma once

#include "cuda/select_keys.cuh"

namespace espalier::cuda {

constexpr int kDigitBits = 11, kDigits = 1 << kDigitBits, kRadixBlock = 512;

// Where the search in a row stands, and at its end the entry: entries up to (key, place), it included, are
// rank + 1.
template <class Key>
struct Cut {
  Key key;
  uint64_t place;
  int64_t rank;   // among the entries that share the digits found
  int64_t count;  // entries in play in the whole row
};

// Which digit is sought.
struct Digit {
  int shift, bits;
  bool first;     // nothing is known yet: every entry counts
  bool of_place;  // the key is known
};

// Counts entries begin, begin + step … of a row by their digit, in shared memory; the block must meet after.
template <class Source>
__device__ void count_digits(const Source& source, int64_t row, int64_t begin, int64_t end, int64_t step,
                             const Cut<typename Source::Key>& known, Digit digit, unsigned* counts) {
  using Key = typename Source::Key;
  const int above = digit.shift + digit.bits;
  for (int64_t i = begin; i < end; i += step) {
    Key key;
    if (!source.get(row, i, &key)) continue;
    if (digit.of_place) {
      if (key != known.key) continue;
      const uint64_t place = source.place(row, i);
      if (!digit.first && (place >> above) != (known.place >> above)) continue;
      atomicAdd(&counts[(place >> digit.shift) & ((1u << digit.bits) - 1)], 1u);
    } else {
      if (!digit.first && (key >> above) != (known.key >> above)) continue;
      atomicAdd(&counts[static_cast<unsigned>(key >> digit.shift) & ((1u << digit.bits) - 1)], 1u);
    }
  }
}

// Takes the digit that holds the rank; all threads of the block, which must have met before and meet after.
// `Count` entries by digit are left as 0.
template <class Key, class Count>
__device__ void take_digit(Count* counts, Digit digit, Cut<Key>* cut) {
  __shared__ int64_t upto[kRadixBlock];
  __shared__ int64_t rank;
  constexpr int kEach = kDigits / kRadixBlock;
  int64_t own[kEach], sum = 0;
  for (int j = 0; j < kEach; ++j) {
    own[j] = static_cast<int64_t>(counts[threadIdx.x * kEach + j]);
    counts[threadIdx.x * kEach + j] = 0;
    sum += own[j];
  }
  upto[threadIdx.x] = sum;
  __syncthreads();
  for (int offset = 1; offset < kRadixBlock; offset *= 2) {
    const int64_t add = static_cast<int>(threadIdx.x) >= offset ? upto[threadIdx.x - offset] : 0;
    __syncthreads();
    upto[threadIdx.x] += add;
    __syncthreads();
  }
  const int64_t total = upto[kRadixBlock - 1];
  if (threadIdx.x == 0) {
    if (digit.first && !digit.of_place) cut->count = total;
    // A rank behind the last entry means the last.
    rank = cut->rank < total ? cut->rank : total - 1;
  }
  __syncthreads();
  int64_t before = upto[threadIdx.x] - sum;
  for (int j = 0; j < kEach; ++j) {
    if (rank >= before && rank < before + own[j]) {  // one thread, one digit
      const uint64_t found = threadIdx.x * kEach + j;
      if (digit.of_place) cut->place |= found << digit.shift;
      else cut->key |= static_cast<Key>(static_cast<Key>(found) << digit.shift);
      cut->rank = rank - before;
    }
    before += own[j];
  }
  __syncthreads();
}

// The digits of a value of `bits` bits: next(digit) until it says no more.
__host__ __device__ inline Digit first_digit(int bits, bool of_place) {
  const int size = bits < kDigitBits ? bits : kDigitBits;
  return {bits - size, size, true, of_place};
}
__host__ __device__ inline bool next_digit(Digit* digit) {
  if (digit->shift == 0) return false;
  const int size = digit->shift < kDigitBits ? digit->shift : kDigitBits;
  *digit = {digit->shift - size, size, false, digit->of_place};
  return true;
}

// ---- Many rows: a block takes a row through all digits ---------------------------------------------

template <class Source>
__global__ void __launch_bounds__(kRadixBlock)
    row_cuts_kernel(Source source, int64_t rows, int64_t n, int key_bits, int place_bits, bool first_place,
                    Cut<typename Source::Key>* cuts) {
  __shared__ unsigned counts[kDigits];
  __shared__ Cut<typename Source::Key> cut;
  for (int i = threadIdx.x; i < kDigits; i += kRadixBlock) counts[i] = 0;
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    if (threadIdx.x == 0) cut = {0, 0, source.rank(row), 0};
    __syncthreads();
    const auto seek = [&](Digit digit) {
      do {
        count_digits(source, row, threadIdx.x, n, kRadixBlock, cut, digit, counts);
        __syncthreads();
        take_digit(counts, digit, &cut);
      } while (next_digit(&digit));
    };
    if (key_bits > 0) seek(first_digit(key_bits, false));
    if (threadIdx.x == 0 && first_place) cut.rank = 0;
    __syncthreads();
    if (place_bits > 0) seek(first_digit(place_bits, true));
    if (threadIdx.x == 0) cuts[row] = cut;
    __syncthreads();
  }
}

// ---- Few long rows: many blocks count one digit, then one block a row takes it ----------------------

template <class Source>
__global__ void __launch_bounds__(kRadixBlock)
    count_digits_kernel(Source source, int64_t n, int64_t splits, const Cut<typename Source::Key>* cuts, Digit digit,
                        unsigned long long* counts) {
  __shared__ unsigned of_block[kDigits];
  for (int i = threadIdx.x; i < kDigits; i += kRadixBlock) of_block[i] = 0;
  __syncthreads();
  const int64_t row = blockIdx.x / splits, split = blockIdx.x % splits;
  const Cut<typename Source::Key> known = cuts[row];
  count_digits(source, row, split * kRadixBlock + threadIdx.x, n, splits * kRadixBlock, known, digit, of_block);
  __syncthreads();
  for (int i = threadIdx.x; i < kDigits; i += kRadixBlock)
    if (of_block[i] != 0) atomicAdd(&counts[row * kDigits + i], static_cast<unsigned long long>(of_block[i]));
}

template <class Key>
__global__ void __launch_bounds__(kRadixBlock)
    take_digit_kernel(unsigned long long* counts, Digit digit, bool first_place, Cut<Key>* cuts) {
  if (digit.first && digit.of_place && first_place && threadIdx.x == 0) cuts[blockIdx.x].rank = 0;
  __syncthreads();
  take_digit(counts + blockIdx.x * int64_t{kDigits}, digit, &cuts[blockIdx.x]);
}

template <class Source>
__global__ void start_cuts_kernel(Source source, int64_t rows, Cut<typename Source::Key>* cuts) {
  for (int64_t row = blockIdx.x * int64_t{blockDim.x} + threadIdx.x; row < rows; row += int64_t{gridDim.x} * blockDim.x)
    cuts[row] = {0, 0, source.rank(row), 0};
}

// Finds the entry of the rank sought of each of `rows` rows of n > 0 entries: its key, of key_bits bits, and
// its place, of place_bits. With key_bits 0 all keys are 0, with place_bits 0 no place is sought, with
// `first_place` that of the first entry with the key. A row with no entry in play, or a rank below 0, gets
// whatever. All of it is queued; nothing is waited for.
template <class Source>
void find_cuts(const Source& source, int64_t rows, int64_t n, int key_bits, int place_bits, bool first_place,
               Cut<typename Source::Key>* cuts) {
  const int64_t blocks = int64_t{traits().multiprocessors} * (2048 / kRadixBlock);
  if (rows >= blocks / 8 || n <= 16 * kRadixBlock) {
    row_cuts_kernel<<<static_cast<unsigned>(std::min(rows, 8 * blocks)), kRadixBlock, 0, stream()>>>(
        source, rows, n, key_bits, place_bits, first_place, cuts);
    return launched("row_cuts");
  }
  const int64_t splits = std::min(ceil_div(n, 8 * kRadixBlock), std::max<int64_t>(1, blocks / rows));
  Temporary<unsigned long long> counts(rows * kDigits);
  ESPALIER_CUDA(cudaMemsetAsync(counts, 0, static_cast<size_t>(rows * kDigits) * sizeof(unsigned long long), stream()));
  start_cuts_kernel<<<1, 256, 0, stream()>>>(source, rows, cuts);
  launched("start_cuts");
  const auto seek = [&](Digit digit) {
    do {
      count_digits_kernel<<<static_cast<unsigned>(rows * splits), kRadixBlock, 0, stream()>>>(source, n, splits, cuts,
                                                                                              digit, counts.get());
      launched("count_digits");
      take_digit_kernel<<<static_cast<unsigned>(rows), kRadixBlock, 0, stream()>>>(counts.get(), digit, first_place,
                                                                                   cuts);
      launched("take_digit");
    } while (next_digit(&digit));
  };
  if (key_bits > 0) seek(first_digit(key_bits, false));
  if (place_bits > 0) seek(first_digit(place_bits, true));
}

}  // namespace espalier::cuda
