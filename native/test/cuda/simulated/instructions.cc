#include "instructions.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <vector>

#include "threads.h"

namespace espalier::simulated {
namespace {

constexpr uint32_t kWindow = 1u << 20;  // of addresses, for each block of a cluster
constexpr uint32_t kAll = 0xffffffffu;
constexpr unsigned char kUndefined = 0xff;  // makes NaN of floats

// cp.async.
struct Copy {
  unsigned char* to;
  const void* from;
  int bytes;
};
struct Copies {
  std::vector<Copy> all;
  bool done = false;

  void finish() {
    if (done) return;
    done = true;
    for (const Copy& copy : all) {
      unsigned char piece[16] = {};
      if (copy.bytes > 0) std::memcpy(piece, copy.from, static_cast<size_t>(copy.bytes));
      std::memcpy(copy.to, piece, 16);
    }
  }
};

// The accumulators of a warp, while products are under way: row-major, 16×n.
struct Accumulators {
  int n;
  bool whole;  // int32, else float
  int products = 0;
  void* of_lane[32];
  std::vector<float> sums;
  std::vector<int32_t> whole_sums;
};

// What an operand was when the product began: 32 bytes of each row along K, or 16 lines of K.
using Bytes = std::vector<unsigned char>;
struct Source {
  uint32_t at = 0;  // the descriptor's address, in the block's window
  uint32_t leading = 0, stride = 0, row_bytes = 0;
  bool mn_major = false;
  int first_row = 0, rows = 0;
  int k_bytes = 32;
};
struct Product {
  Elements elements;
  Source a, b;
  Bytes a_before, b_before;
  uint32_t registers[32][4];
  bool from_registers;
  Places places;
  uint32_t words[32];
  bool add;
  std::shared_ptr<Accumulators> to;
};

// What a thread's instructions have under way; the products of a warp are its first lane's.
struct UnderWay {
  std::shared_ptr<Copies> queued = std::make_shared<Copies>();
  std::deque<std::shared_ptr<Copies>> groups;

  bool fenced = false;
  std::vector<Product> begun;
  std::deque<std::vector<Product>> committed;
  std::map<void*, std::shared_ptr<Accumulators>> accumulators;  // by the first lane's

  ~UnderWay() {
    if (!begun.empty() || !committed.empty()) fail("a thread ends before its products have");
  }
};
UnderWay& under_way() {
  std::shared_ptr<void>& mine = self().instructions;
  if (mine == nullptr) mine = std::make_shared<UnderWay>();
  return *static_cast<UnderWay*>(mine.get());
}

// mbarrier

// The upper word changes when a phase ends, and only then.
struct Barrier {
  int32_t arrivals : 12;  // still to come
  int32_t bytes : 20;
  uint32_t mark : 8;
  uint32_t expected : 11;
  uint32_t phase : 13;
};
static_assert(sizeof(Barrier) == 8);
constexpr uint32_t kMark = 0xb6;

Barrier read(const unsigned char* at) {
  Barrier barrier;
  std::memcpy(&barrier, at, 8);
  if (barrier.mark != kMark) fail("there is no barrier at %08x", shared_address(at));
  return barrier;
}
unsigned char* barrier_at(uint32_t address) {
  if (address % 8 != 0) fail("a barrier lies at %08x", address);
  return shared_at(address);
}
void update(unsigned char* at, int arrivals, int64_t bytes) {
  Barrier barrier = read(at);
  if (barrier.arrivals < arrivals)
    fail("more threads arrive at the barrier at %08x than it waits for", shared_address(at));
  if (const int64_t left = barrier.bytes + bytes; left < -(1 << 19) || left >= 1 << 19)
    fail("the barrier at %08x waits for %lld bytes", shared_address(at), static_cast<long long>(left));
  barrier.arrivals -= arrivals;
  barrier.bytes += static_cast<int32_t>(bytes);
  if (barrier.arrivals == 0 && barrier.bytes == 0) {
    barrier.arrivals = static_cast<int32_t>(barrier.expected);
    ++barrier.phase;
  }
  std::memcpy(at, &barrier, 8);
}

// Where a byte of a swizzled row is: its 16-byte chunk's number is xored with that of the row.
uint32_t swizzled(uint32_t address, uint32_t row_bytes) {
  if (row_bytes == 128) return address ^ (address >> 3 & 0x70);
  if (row_bytes == 64) return address ^ (address >> 3 & 0x30);
  return address;
}

// Elements

const float* halves() {
  static const std::vector<float> all = [] {
    std::vector<float> values(1 << 16);
    for (uint32_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(std::bit_cast<_Float16>(static_cast<uint16_t>(i)));
    return values;
  }();
  return all.data();
}
int size_of(Elements elements) { return elements == Elements::kInt8 ? 1 : elements == Elements::kTf32 ? 4 : 2; }

// `count` elements, `step` apart in `to`.
void decode(Elements elements, const unsigned char* from, int count, float* to, int step) {
  switch (elements) {
    case Elements::kInt8:
      for (int i = 0; i < count; ++i) to[i * step] = static_cast<signed char>(from[i]);
      break;
    case Elements::kHalf:
    case Elements::kBfloat16:
      for (int i = 0; i < count; ++i) {
        uint16_t bits;
        std::memcpy(&bits, from + 2 * i, 2);
        to[i * step] =
            elements == Elements::kHalf ? halves()[bits] : std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
      }
      break;
    case Elements::kTf32:
      for (int i = 0; i < count; ++i) {
        uint32_t bits;
        std::memcpy(&bits, from + 4 * i, 4);
        to[i * step] = std::bit_cast<float>(bits & 0xffffe000u);
      }
  }
}

// A warp's a: 16 rows of up to 32 elements, and for each where it is along K.
struct Left {
  int count;  // of a row
  float value[16][32];
  unsigned char k[16][32];
};

// From the fragments of a warp: register i of a lane holds 4 bytes of row lane / 4 + 8(i % 2), its (lane % 4)th of the
// (i / 2)th 16.
void rows_of(const uint32_t (&registers)[32][4], unsigned char (&rows)[16][32]) {
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i)
      std::memcpy(&rows[lane / 4 + i % 2 * 8][i / 2 * 16 + lane % 4 * 4], &registers[lane][i], 4);
}

// Which elements of K those of a are.
void place(Left& left, Elements elements, const Places& places, const uint32_t (&words)[32]) {
  for (int row = 0; row < 16; ++row)
    for (int at = 0; at < left.count; ++at) {
      if (!places.sparse) {
        left.k[row][at] = static_cast<unsigned char>(at);
        continue;
      }
      const int four = at / 2;  // of K
      uint32_t bits;
      if (elements == Elements::kInt8) bits = words[row % 8 * 4 + row / 8 + four / 8 * 2] >> (four % 8 * 4);
      else bits = words[row % 8 * 4 + places.selector * 2 + four / 4] >> (row / 8 * 16 + four % 4 * 4);
      const uint32_t first = bits & 3, second = bits >> 2 & 3;
      if (first >= second) fail("places %u and %u of four are out of order", first, second);
      left.k[row][at] = static_cast<unsigned char>(four * 4 + static_cast<int>(at % 2 == 0 ? first : second));
    }
}

// sums += left·right, 16×n; right has a row of n for each of K. Products are exact, sums in float32.
void multiply(const Left& left, const float* right, float* sums, int n) {
  using Four [[gnu::vector_size(16)]] = float;
  for (int row = 0; row < 16; ++row)
    for (int at = 0; at < left.count; ++at) {
      const float by = left.value[row][at];
      const float* const line = right + left.k[row][at] * n;
      float* const to = sums + row * n;
      for (int j = 0; j < n; j += 4) {
        Four sum, of;
        std::memcpy(&sum, to + j, sizeof sum);
        std::memcpy(&of, line + j, sizeof of);
        sum += by * of;
        std::memcpy(to + j, &sum, sizeof sum);
      }
    }
}

}  // namespace

void barrier_init(uint32_t address, uint32_t arrivals) {
  if (arrivals == 0 || arrivals > 2047) fail("a barrier of %u arrivals", arrivals);
  const Barrier barrier{static_cast<int32_t>(arrivals), 0, kMark, arrivals, 0};
  std::memcpy(barrier_at(address), &barrier, 8);
}
void barrier_arrive(uint32_t address, uint32_t expected_bytes) {
  unsigned char* const at = barrier_at(address);
  update(at, 0, expected_bytes);
  update(at, 1, 0);
}
void barrier_wait(uint32_t address, uint32_t parity) {
  const unsigned char* const at = barrier_at(address);
  const Barrier barrier = read(at);
  uint32_t word;
  std::memcpy(&word, at + 4, 4);
  if ((barrier.phase & 1) != parity) return;
  wait_while(reinterpret_cast<const uint32_t*>(at + 4), word);
  // Two phases later a device waits again, for ever.
  if ((read(at).phase & 1) == parity) fail("a phase of the barrier at %08x passes unseen", address);
}
uint32_t in_block(uint32_t address, uint32_t rank) {
  if (rank >= static_cast<uint32_t>(cluster_size())) fail("there is no block %u in the cluster", rank);
  return address % kWindow + rank * kWindow;
}

void copy16(uint32_t to, const void* from, int bytes) {
  if (to % 16 != 0 || reinterpret_cast<uintptr_t>(from) % 16 != 0 || bytes < 0 || bytes > 16)
    fail("%d of 16 bytes are copied from %p to %08x", bytes, from, to);
  unsigned char* const at = shared_at(to);
  std::memset(at, kUndefined, 16);
  under_way().queued->all.push_back({at, from, bytes});
}
void copy_commit() {
  UnderWay& mine = under_way();
  mine.groups.push_back(std::move(mine.queued));
  mine.queued = std::make_shared<Copies>();
}
void copy_wait(int left) {
  UnderWay& mine = under_way();
  for (; static_cast<int>(mine.groups.size()) > left; mine.groups.pop_front()) mine.groups.front()->finish();
}
void copy_arrive(uint32_t barrier) {
  UnderWay& mine = under_way();
  std::vector<std::shared_ptr<Copies>> before(mine.groups.begin(), mine.groups.end());
  before.push_back(std::move(mine.queued));
  mine.queued = std::make_shared<Copies>();
  unsigned char* const at = barrier_at(barrier);
  eventually([before, at] {
    for (const auto& copies : before) copies->finish();
    update(at, 1, 0);
  });
}

void copy_box(uint32_t to, const CUtensorMap* map, int column, int row, uint32_t barrier, uint32_t blocks) {
  const CUtensorMap from = *map;
  const uint32_t row_bytes = from.box_columns * from.element_bytes, bytes = from.box_rows * row_bytes;
  if (to % 128 != 0) fail("a box is copied to %08x", to);
  if (from.swizzle != 0 && row_bytes != from.swizzle) fail("rows of %u bytes, swizzled by %u", row_bytes, from.swizzle);
  for (uint32_t rank = 0; rank < static_cast<uint32_t>(cluster_size()); ++rank) {
    if ((blocks >> rank & 1) == 0) continue;
    const uint32_t place = in_block(to, rank);
    unsigned char* const at = shared_at(place);
    shared_at(place + bytes - 1);
    unsigned char* const told = barrier_at(in_block(barrier, rank));
    read(told);
    std::memset(at, kUndefined, bytes);
    eventually([=] {
      for (uint32_t r = 0; r < from.box_rows; ++r)
        for (uint32_t b = 0; b < row_bytes; b += from.element_bytes) {
          const int64_t from_row = int64_t{row} + r, from_column = int64_t{column} + b / from.element_bytes;
          unsigned char element[8] = {};
          if (from_row >= 0 && from_row < static_cast<int64_t>(from.rows) && from_column >= 0 &&
              from_column < static_cast<int64_t>(from.columns))
            std::memcpy(element,
                        from.data + static_cast<uint64_t>(from_row) * from.row_bytes +
                            static_cast<uint64_t>(from_column) * from.element_bytes,
                        from.element_bytes);
          const uint32_t linear = place + r * row_bytes + b;
          std::memcpy(at + (swizzled(linear, from.swizzle) - place), element, from.element_bytes);
        }
      update(told, 0, -static_cast<int64_t>(bytes));
    });
  }
  if (blocks >> cluster_size() != 0) fail("blocks %x of a cluster of %d", blocks, cluster_size());
}

void load_matrix4(uint32_t (&to)[4], uint32_t row, bool transposed) {
  if (row % 16 != 0) fail("a row of a matrix lies at %08x", row);
  struct Lane {
    uint32_t (&to)[4];
    uint32_t row;
  } mine{to, row};
  together(kAll, &mine, [transposed](Lane* const* all) {
    for (int i = 0; i < 4; ++i) {
      uint16_t matrix[8][8];
      for (int r = 0; r < 8; ++r) std::memcpy(matrix[r], shared_at(all[8 * i + r]->row), 16);
      for (int l = 0; l < 32; ++l) {
        const int r = l / 4, c = l % 4 * 2;
        const uint32_t low = transposed ? matrix[c][r] : matrix[r][c];
        const uint32_t high = transposed ? matrix[c + 1][r] : matrix[r][c + 1];
        all[l]->to[i] = low | high << 16;
      }
    }
  });
}
uint32_t transpose_matrix(uint32_t row) {
  uint32_t mine = row;
  together(kAll, &mine, [](uint32_t* const* all) {
    uint32_t turned[32];
    const auto element = [&](int r, int c) { return *all[r * 4 + c / 2] >> (c % 2 * 16) & 0xffff; };
    for (int l = 0; l < 32; ++l) turned[l] = element(l % 4 * 2, l / 4) | element(l % 4 * 2 + 1, l / 4) << 16;
    for (int l = 0; l < 32; ++l) *all[l] = turned[l];
  });
  return mine;
}

void mma(Elements elements, void* d, const uint32_t* a, const uint32_t* b, Places places) {
  struct Lane {
    void* d;
    const uint32_t *a, *b;
    uint32_t word;
  } mine{d, a, b, places.word};
  together(kAll, &mine, [&](Lane* const* all) {
    uint32_t registers[32][4], words[32];
    for (int l = 0; l < 32; ++l) {
      std::memcpy(registers[l], all[l]->a, 16);
      words[l] = all[l]->word;
    }
    unsigned char rows[16][32];
    rows_of(registers, rows);
    const int size = size_of(elements);
    Left left;
    left.count = 32 / size;
    for (int r = 0; r < 16; ++r) decode(elements, rows[r], left.count, left.value[r], 1);
    place(left, elements, places, words);

    // Register i of b holds 4 bytes of a column: lane % 4 of the i-th 16.
    float right[64 * 8];
    for (int l = 0; l < 32; ++l)
      for (int i = 0; i < (places.sparse ? 4 : 2); ++i) {
        unsigned char bytes[4];
        std::memcpy(bytes, &all[l]->b[i], 4);
        decode(elements, bytes, 4 / size, right + (i * 16 + l % 4 * 4) / size * 8 + l / 4, 8);
      }
    float sums[16 * 8] = {};
    const bool whole = elements == Elements::kInt8;
    const auto each = [&](auto take) {
      for (int l = 0; l < 32; ++l)
        for (int e = 0; e < 4; ++e) take(l, e, sums[(l / 4 + e / 2 * 8) * 8 + l % 4 * 2 + e % 2]);
    };
    if (!whole) each([&](int l, int e, float& sum) { sum = static_cast<float*>(all[l]->d)[e]; });
    multiply(left, right, sums, 8);
    if (whole)
      each([&](int l, int e, float& sum) { static_cast<int32_t*>(all[l]->d)[e] += static_cast<int32_t>(sum); });
    else each([&](int l, int e, float& sum) { static_cast<float*>(all[l]->d)[e] = sum; });
  });
}

namespace {

// In the window of the block `rank`.
Source source_of(uint64_t descriptor, bool mn_major, int first_row, int rows, int k_bytes, uint32_t window) {
  Source source;
  source.at = window + static_cast<uint32_t>(descriptor & 0x3fff) * 16;
  source.leading = static_cast<uint32_t>(descriptor >> 16 & 0x3fff) * 16;
  source.stride = static_cast<uint32_t>(descriptor >> 32 & 0x3fff) * 16;
  const uint32_t mode = static_cast<uint32_t>(descriptor >> 62);
  if (mode != 1 && mode != 2) fail("a descriptor of swizzle %u", mode);
  if ((descriptor >> 49 & 7) != 0) fail("a descriptor with a base offset");
  source.row_bytes = mode == 1 ? 128 : 64;
  if (source.at / source.row_bytes * source.row_bytes % (8 * source.row_bytes) != 0)
    fail("an operand of rows of %u bytes lies at %08x", source.row_bytes, source.at);
  source.mn_major = mn_major;
  source.first_row = first_row;
  source.rows = rows;
  source.k_bytes = k_bytes;
  return source;
}

// The operand's bytes, 16 at a time: row after row of it, or where mn_major, K after K.
Bytes bytes_of(const Source& source) {
  Bytes bytes(static_cast<size_t>(source.rows) * static_cast<size_t>(source.k_bytes));
  unsigned char* to = bytes.data();
  const auto take = [&](uint32_t offset) {
    std::memcpy(to, shared_at(swizzled(source.at + offset, source.row_bytes)), 16);
    to += 16;
  };
  if (source.mn_major) {
    const int elements = static_cast<int>(source.row_bytes) / 2;  // of 16 bits, in a row
    for (int k = 0; k < source.k_bytes / 2; ++k)
      for (int r = source.first_row; r < source.first_row + source.rows; r += 8)
        take(static_cast<uint32_t>(r / elements) * source.leading + static_cast<uint32_t>(k / 8) * source.stride +
             static_cast<uint32_t>(k % 8) * source.row_bytes + static_cast<uint32_t>(r % elements) * 2);
  } else {
    for (int r = source.first_row; r < source.first_row + source.rows; ++r)
      for (int b = 0; b < source.k_bytes; b += 16)
        take(static_cast<uint32_t>(r / 8) * source.stride + static_cast<uint32_t>(r % 8) * source.row_bytes +
             static_cast<uint32_t>(b));
  }
  return bytes;
}

// The word of an accumulator of n columns that lane l holds as its w-th.
size_t index_of(int lane, int w, int n) {
  return static_cast<size_t>((lane / 4 + w / 2 % 2 * 8) * n + w / 4 * 8 + lane % 4 * 2 + w % 2);
}
void take_accumulators(Accumulators& sums) {
  const size_t words = static_cast<size_t>(sums.n / 2);
  sums.sums.resize(static_cast<size_t>(16 * sums.n));
  if (sums.whole) sums.whole_sums.resize(static_cast<size_t>(16 * sums.n));
  for (int l = 0; l < 32; ++l) {
    for (int w = 0; w < sums.n / 2; ++w) {
      if (sums.whole) sums.whole_sums[index_of(l, w, sums.n)] = static_cast<const int32_t*>(sums.of_lane[l])[w];
      else sums.sums[index_of(l, w, sums.n)] = static_cast<const float*>(sums.of_lane[l])[w];
    }
    std::memset(sums.of_lane[l], kUndefined, words * 4);
  }
}
void give_accumulators(const Accumulators& sums) {
  for (int l = 0; l < 32; ++l)
    for (int w = 0; w < sums.n / 2; ++w) {
      uint32_t word;
      std::memcpy(&word, static_cast<const unsigned char*>(sums.of_lane[l]) + 4 * w, 4);
      if (word != kAll) fail("lane %d wrote to accumulator %d during a product", l, w);
      if (sums.whole) static_cast<int32_t*>(sums.of_lane[l])[w] = sums.whole_sums[index_of(l, w, sums.n)];
      else static_cast<float*>(sums.of_lane[l])[w] = sums.sums[index_of(l, w, sums.n)];
    }
}

void complete(const Product& product) {
  if (!product.from_registers && bytes_of(product.a) != product.a_before)
    fail("the left operand at %08x changed during a product", product.a.at);
  const Bytes b = bytes_of(product.b);
  if (b != product.b_before) fail("the right operand at %08x changed during a product", product.b.at);

  const int size = size_of(product.elements);
  Left left;
  left.count = 32 / size;
  if (product.from_registers) {
    unsigned char rows[16][32];
    rows_of(product.registers, rows);
    for (int r = 0; r < 16; ++r) decode(product.elements, rows[r], left.count, left.value[r], 1);
  } else if (product.a.mn_major) {
    for (int k = 0; k < 16; ++k) decode(product.elements, product.a_before.data() + k * 32, 16, &left.value[0][k], 32);
  } else {
    for (int r = 0; r < 16; ++r)
      decode(product.elements, product.a_before.data() + r * 32, left.count, left.value[r], 1);
  }
  place(left, product.elements, product.places, product.words);

  Accumulators& to = *product.to;
  const int n = to.n, depth = product.b.k_bytes / size;
  static std::vector<float> right;
  right.resize(static_cast<size_t>(depth * n));
  if (product.b.mn_major) decode(product.elements, b.data(), depth * n, right.data(), 1);
  else
    for (int column = 0; column < n; ++column)
      decode(product.elements, b.data() + column * product.b.k_bytes, depth, right.data() + column, n);

  if (to.whole || !product.add) std::fill(to.sums.begin(), to.sums.end(), 0.0f);
  multiply(left, right.data(), to.sums.data(), n);
  if (to.whole)
    for (size_t i = 0; i < to.sums.size(); ++i)
      to.whole_sums[i] = (product.add ? to.whole_sums[i] : 0) + static_cast<int32_t>(to.sums[i]);
}

}  // namespace

void wgmma(Elements elements, int n, void* d, Operand a, uint64_t b, bool b_mn_major, Places places, bool add) {
  struct Lane {
    UnderWay& under_way;
    void* d;
    Operand a;
    uint64_t b;
    uint32_t word;
    bool add;
  } mine{under_way(), d, a, b, places.word, add};
  if (self().number / 128 * 128 + 128 > static_cast<int>(blockDim.x * blockDim.y * blockDim.z))
    fail("a product of a warpgroup that is not whole");
  const int warp = self().number / 32 % 4;
  const uint32_t window = static_cast<uint32_t>(cluster_rank()) * kWindow;
  together(kAll, &mine, [&](Lane* const* all) {
    UnderWay& state = all[0]->under_way;
    Product product{};
    product.elements = elements;
    product.places = places;
    product.add = add;
    product.from_registers = a.registers != nullptr;
    for (int l = 0; l < 32; ++l) {
      const Lane& lane = *all[l];
      if (lane.a.descriptor != a.descriptor || lane.b != b || lane.add != add)
        fail("the lanes of a warp disagree about a product");
      if (product.from_registers) std::memcpy(product.registers[l], lane.a.registers, 16);
      product.words[l] = lane.word;
    }
    if (!product.from_registers) {
      product.a = source_of(a.descriptor, a.mn_major, 16 * warp, 16, 32, window);
      product.a_before = bytes_of(product.a);
    }
    product.b = source_of(b, b_mn_major, 0, n, places.sparse ? 64 : 32, window);
    product.b_before = bytes_of(product.b);

    std::shared_ptr<Accumulators>& sums = state.accumulators[all[0]->d];
    if (sums == nullptr) {
      if (!state.fenced) fail("accumulators go into a product without a fence");
      sums = std::make_shared<Accumulators>();
      sums->n = n;
      sums->whole = elements == Elements::kInt8;
      for (int l = 0; l < 32; ++l) sums->of_lane[l] = all[l]->d;
      take_accumulators(*sums);
    }
    if (sums->n != n) fail("accumulators of %d columns in a product of %d", sums->n, n);
    ++sums->products;
    product.to = sums;
    state.begun.push_back(std::move(product));
  });
}
void wgmma_fence() {
  UnderWay* mine = &under_way();
  together(kAll, mine, [](UnderWay* const* all) { all[0]->fenced = true; });
}
void wgmma_commit() {
  UnderWay* mine = &under_way();
  together(kAll, mine, [](UnderWay* const* all) {
    all[0]->committed.push_back(std::move(all[0]->begun));
    all[0]->begun.clear();
  });
}
void wgmma_wait(int left) {
  UnderWay* mine = &under_way();
  together(kAll, mine, [left](UnderWay* const* all) {
    UnderWay& state = *all[0];
    for (; static_cast<int>(state.committed.size()) > left; state.committed.pop_front())
      for (const Product& product : state.committed.front()) {
        complete(product);
        if (--product.to->products > 0) continue;
        give_accumulators(*product.to);
        state.accumulators.erase(product.to->of_lane[0]);
      }
    state.fenced = false;
  });
}

}  // namespace espalier::simulated
