#include "sparse/conv_shifted_grad.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

#include "core/parallel.h"
#include "core/scratch.h"
#include "sparse/assembler.h"
#include "sparse/code_memory.h"
#include "sparse/conv_weight_grad.h"
#include "sparse/shifted_lines.h"
#include "sparse/walk.h"

// A function is made for as many kept weights as there are registers for their sums, 16 lanes each. It walks the rows
// of a band: loads what is packed of the input once a row, shifts it where weights ask for that, and multiplies it by
// the gradients of the output channels, each loaded once for all weights between it and an input channel. Weights go by
// blocks of output channels, whose gradients stay in the first-level cache, then by input channel.
namespace espalier::sparse {
namespace {

struct Call {
  const float* x;
  const float* dy;
  float* sums;
  int64_t rows;
};
using Function = void (*)(const Call*);

constexpr int kTerms = 22, kPlaces = 32, kLinesHeld = 9, kGradient = 31;
constexpr int32_t kReach = 128 * 64;
constexpr size_t kAlignment = 64, kAddingUp = 0;
// Lines of a block's gradients that are used over and over, and output channels of a block; weights of a task.
constexpr int64_t kGradientLines = 512, kBlock = 32;
constexpr int64_t kTermsATask = 512, kChannelsATask = 8, kPiecesATask = 256;
// Tiles that are worth sums of their own, and how many of these there may be.
constexpr int64_t kTilesAShare = 2, kMostShares = 8;

class Generated final : public ShiftedGrad {
 public:
  Generated(const Axes& axes, const Packing& packing, int64_t channels)
      : packing_(packing), of_dy_({itself(axes.rows), itself(axes.columns)}, packing.tiling), form_(packing) {
    all_.resize(static_cast<size_t>(channels));
    std::iota(all_.begin(), all_.end(), 0);
  }

  bool make(std::vector<ShiftedTerm> terms, int64_t most_bytes) {
    for (const ShiftedTerm& term : terms)
      for (int64_t v = 0; v < form_.vectors; ++v) shifts_.add(form_.of(term.in, term.row, term.column, v).shift);
    const int64_t channels = static_cast<int64_t>(all_.size());
    const int64_t blocks = std::max<int64_t>(1, (channels + kBlock / 2) / kBlock);
    const auto block_begin = [&](int64_t b) { return channels * b / blocks; };
    rows_ = std::clamp<int64_t>(kGradientLines * blocks / (channels * form_.vectors), 1, packing_.tiling.rows);
    // (Alike in size.)
    const int64_t walks = (packing_.tiling.rows + rows_ - 1) / rows_;
    rows_ = (packing_.tiling.rows + walks - 1) / walks;
    const std::vector<size_t> begin = sort(terms, blocks, block_begin);
    Assembler code;
    code.expect(terms.size() * 16 * static_cast<size_t>(form_.vectors));
    emit_adding_up(code);  // at kAddingUp
    for (int64_t b = 0; b < blocks; ++b) {
      const size_t first = begin[static_cast<size_t>(b)], count = begin[static_cast<size_t>(b) + 1] - first;
      const size_t functions = (count + kTerms - 1) / kTerms;
      const size_t tasks = (count + kTermsATask - 1) / kTermsATask;
      for (size_t t = 0; t < tasks; ++t) tasks_.push_back(static_cast<int64_t>(pieces_.size() + functions * t / tasks));
      for (size_t f = 0; f < functions; ++f) {
        const size_t from = first + count * f / functions, to = first + count * (f + 1) / functions;
        code.align(kAlignment);
        pieces_.push_back({static_cast<int32_t>(terms[from].in * form_.channel), block_begin(b),
                           static_cast<int64_t>(from), static_cast<int64_t>(to - from), code.size()});
        emit(terms.data() + from, to - from, pieces_.back(), code);
        if (static_cast<int64_t>(code.size()) > most_bytes) return false;
      }
    }
    tasks_.push_back(static_cast<int64_t>(pieces_.size()));
    origin_.reserve(terms.size());
    for (const ShiftedTerm& term : terms) origin_.push_back(term.origin);
    return code_.hold(code.code());
  }

  int64_t code_size() const override { return static_cast<int64_t>(code_.size()); }

  void run(int64_t n, const std::vector<int32_t>& channels, int64_t in, const float* x, const float* dy,
           float* values) const override {
    const Tiling& tiling = packing_.tiling;
    const int64_t out = static_cast<int64_t>(all_.size()), units = n * tiling.bands;
    const int64_t tiles = (units + tiling.units - 1) / tiling.units;
    const int64_t size = static_cast<int64_t>(pieces_.size()) * kPlaces;
    // Shares of a batch have sums of their own, so that threads need not wait for each other at every tile; there are
    // as many whatever the threads, so the bits do not depend on these. A share alone is divided among them by weights.
    const int64_t shares = std::clamp<int64_t>(tiles / kTilesAShare, 1, kMostShares);
    float* const sums = scratch<float>(Scratch::kPartial, shares * size);
    parallel_for(shares, [&](int64_t share) {
      float* const of_share = sums + share * size;
      std::fill_n(of_share, size, 0.0f);
      float* const packed =
          scratch<float>(Scratch::kPackA, static_cast<int64_t>(channels.size()) * packing_.channel * kLine);
      float* const packed_dy = scratch<float>(Scratch::kPackB, out * of_dy_.channel * kLine);
      for (int64_t tile = tiles * share / shares; tile < tiles * (share + 1) / shares; ++tile) {
        const Bands bands{tile * tiling.units, std::min(tiling.units, units - tile * tiling.units)};
        pack(packing_, bands, channels, in, x, packed);
        pack(of_dy_, bands, all_, out, dy, packed_dy);
        parallel_for(static_cast<int64_t>(tasks_.size()) - 1,
                     [&](int64_t task) { add_up(static_cast<size_t>(task), packed, packed_dy, of_share); });
      }
    });
    parallel_ranges(static_cast<int64_t>(pieces_.size()), kPiecesATask, [&](int64_t piece, int64_t last) {
      for (; piece < last; ++piece)
        put_values(pieces_[static_cast<size_t>(piece)], sums + piece * kPlaces, shares, size, values);
    });
  }

 private:
  struct Piece {
    int32_t first_line;
    int64_t first_channel, first_term, count;
    size_t code;
  };

  static void pack(const Packing& by, const Bands& bands, const std::vector<int32_t>& of, int64_t every,
                   const float* from, float* to) {
    parallel_ranges(static_cast<int64_t>(of.size()), kChannelsATask, [&](int64_t begin, int64_t end) {
      pack_lines(by, bands, {of.begin() + begin, of.begin() + end}, every, from, to + begin * by.channel * kLine);
    });
  }

  // A task's products of one tile.
  void add_up(size_t task, const float* x, const float* dy, float* sums) const {
    const int64_t rows = packing_.tiling.rows;
    for (int64_t row = 0; row < rows; row += rows_)
      for (int64_t p = tasks_[task]; p < tasks_[task + 1]; ++p) {
        const Piece& piece = pieces_[static_cast<size_t>(p)];
        const Call call{x + (piece.first_line + row * form_.row) * kLine,
                        dy + (piece.first_channel * of_dy_.channel + row * form_.vectors) * kLine, sums + p * kPlaces,
                        std::min(rows_, rows - row)};
        reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(code_.at(piece.code)))(&call);
      }
  }

  void put_values(const Piece& piece, const float* sums, int64_t shares, int64_t size, float* values) const {
    for (int64_t i = 0; i < piece.count; ++i) {
      float sum = 0.0f;
      for (int64_t share = 0; share < shares; ++share) sum += sums[share * size + place_of(i)];
      values[origin_[static_cast<size_t>(piece.first_term + i)]] = sum;
    }
  }

  // dy in the same lines: every output meets itself.
  static Axis itself(const Axis& axis) { return {axis.out, axis.out, 1, 1, {{{0, 0}}}}; }

  // By block of output channels, then input channel; terms come by output channel. Returns where blocks begin.
  template <class Begin>
  static std::vector<size_t> sort(std::vector<ShiftedTerm>& terms, int64_t blocks, Begin block_begin) {
    size_t ins = 1;
    for (const ShiftedTerm& term : terms) ins = std::max(ins, static_cast<size_t>(term.in) + 1);
    std::vector<size_t> block_of(static_cast<size_t>(block_begin(blocks)));
    for (int64_t b = 0; b < blocks; ++b)
      for (int64_t c = block_begin(b); c < block_begin(b + 1); ++c)
        block_of[static_cast<size_t>(c)] = static_cast<size_t>(b);
    const auto key = [&](const ShiftedTerm& term) {
      return block_of[static_cast<size_t>(term.out)] * ins + static_cast<size_t>(term.in);
    };
    std::vector<size_t> at(static_cast<size_t>(blocks) * ins + 1);
    for (const ShiftedTerm& term : terms) ++at[key(term) + 1];
    for (size_t i = 1; i < at.size(); ++i) at[i] += at[i - 1];
    std::vector<size_t> begin(static_cast<size_t>(blocks) + 1);
    for (size_t b = 0; b < begin.size(); ++b) begin[b] = at[b * ins];
    std::vector<ShiftedTerm> sorted(terms.size());
    for (const ShiftedTerm& term : terms) sorted[at[key(term)]++] = term;
    terms.swap(sorted);
    return begin;
  }

  void emit(const ShiftedTerm* terms, size_t count, const Piece& piece, Assembler& code) const {
    code.load(kRdx, kRdi, offsetof(Call, x));
    code.load(kRsi, kRdi, offsetof(Call, dy));
    code.load(kRcx, kRdi, offsetof(Call, sums));
    code.load(kR8, kRdi, offsetof(Call, rows));
    shifts_.set_masks(code, form_);
    for (int i = 0; i < kTerms; ++i) code.zero512(i);
    const size_t start = code.size();
    HeldLines<kTerms, kLinesHeld> lines(code, shifts_, piece.first_line);
    Walk gradients{kRsi, kReach};
    for (int64_t v = 0; v < form_.vectors; ++v)
      for (size_t i = 0; i < count; ++i) {
        const ShiftedTerm& term = terms[i];
        const auto meets = [&](size_t other) {
          return other < count && terms[other].out == term.out && terms[other].in == term.in;
        };
        const int x = lines.of(form_.of(term.in, term.row, term.column, v));
        const auto place = [&] {
          return gradients.to(code, static_cast<int32_t>(((term.out - piece.first_channel) * of_dy_.channel + v) * 64));
        };
        const bool held = i > 0 && meets(i - 1);
        if (!held && !meets(i + 1)) {
          code.multiply_add_vector512(static_cast<int>(i), x, kRsi, place());
          continue;
        }
        if (!held) code.load512(kGradient, kRsi, place());
        code.multiply_add512(static_cast<int>(i), x, kGradient);
      }
    code.add(kRdx, static_cast<int32_t>(form_.row * 64) - lines.moved());
    code.add(kRsi, static_cast<int32_t>(form_.vectors * 64) - gradients.position);
    code.repeat(kR8, start);
    code.jump(kAddingUp);
  }

  // The sums of the lanes of registers 0 to kTerms − 1 to the piece's places, see place_of(). All functions end here.
  static void emit_adding_up(Assembler& code) {
    constexpr int kLow = kTerms, kHigh = kTerms + 1;
    // One register for a and b: each half the lanes to add.
    const auto quarters = [&](int a, int b) {
      code.choose_quarters512(kLow, a, b, 0x88);
      code.choose_quarters512(kHigh, a, b, 0xDD);
      code.add512(a, kLow, kHigh);
    };
    const auto floats = [&](int a, int b) {
      code.choose512(kLow, a, b, 0x88);
      code.choose512(kHigh, a, b, 0xDD);
      code.add512(a, kLow, kHigh);
    };
    for (int first = 0; first < kTerms; first += 16) {
      // (What stands in for registers that are not there is added up to no avail.)
      const auto reg = [&](int i) { return first + i < kTerms ? first + i : first; };
      for (int i = 0; i < 16 && first + i < kTerms; i += 2) quarters(reg(i), reg(i + 1));
      for (int i = 0; i < 16 && first + i < kTerms; i += 4) quarters(reg(i), reg(i + 2));
      for (int i = 0; i < 16 && first + i < kTerms; i += 8) floats(reg(i), reg(i + 4));
      floats(reg(0), reg(8));
      code.add512(first, kRcx, first * 4);
      code.store512(kRcx, first * 4, first);
    }
    code.end();
  }
  // Where the sum of register i is put among kPlaces.
  static int64_t place_of(int64_t i) { return i / 16 * 16 + i % 4 * 4 + i % 16 / 4; }

  const Packing packing_, of_dy_;
  const Form form_;
  std::vector<int32_t> all_;  // output channels
  int64_t rows_ = 1;          // that a call walks
  Shifts shifts_;
  std::vector<Piece> pieces_;
  std::vector<int64_t> tasks_;  // the first piece of each; and the end
  std::vector<int32_t> origin_;
  CodeMemory code_;
};

}  // namespace

std::unique_ptr<ShiftedGrad> make_shifted_grad(const Axes& axes, const Packing& packing, int64_t out_channels,
                                               std::vector<ShiftedTerm> terms, int64_t most_bytes) {
  auto made = std::make_unique<Generated>(axes, packing, out_channels);
  return made->make(std::move(terms), most_bytes) ? std::move(made) : nullptr;
}

}  // namespace espalier::sparse
