#include "sparse/conv_shifted.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "core/scratch.h"
#include "simd/isa.h"
#include "sparse/assembler.h"
#include "sparse/code_memory.h"
#include "sparse/shifted_lines.h"
#include "sparse/walk.h"

// A function is made for each group of output channels and block of input channels, as in conv_generated.cc. It holds
// the sums of two lines for each of its channels: the two lines of a row, or two rows of one line each. An input line
// is loaded once for all weights and both outputs, however it has to be moved, and a weight once for both or as cheaply
// as the core can (see Weights). Sums are kept in registers through all input channels, but where the code outgrows the
// first-level cache, and are written where they belong: there is nothing to unpack.
namespace espalier::sparse {
namespace {

// What a function is given, and where. `y` are the first channel's two lines (the second not used where the two are put
// together), `apart` their distance in bytes from one channel to the next.
struct Call {
  const float* x;
  const float* values;
  float* partial;  // sums from an earlier block, and for a later one
  const float* bias;
  const float* floor;  // the least that sums may end at, if there is one
  float* y[2];
  int64_t apart[2];
  const int32_t* woven;
  const float* ahead;  // what is asked for meanwhile
};
using Function = void (*)(const Call*);
// Registers 0 to 2·kChannels − 1 are sums, the last one is a weight, those between are input lines.
constexpr int kChannels = 13, kSums = 2 * kChannels, kLines = 5, kValue = 31;
constexpr int32_t kReachValues = 128 * 4;
constexpr size_t kAlignment = 64;

// How a weight comes to the two multiply-adds that it takes part in.
enum class Weights {
  kLoaded,     // a broadcast into a register
  kInOperand,  // both multiply-adds load it
  kOredIn,     // into a register, as the operand of an `or` with zeros
};
// What is best for a core.
struct Ways {
  // A broadcast into a register is the fewest loads. But where one multiply-add starts a cycle it may take a port of
  // the shuffles (on Zen 4 it does), which moved lines need too, and multiply-adds then give way to them; a broadcast
  // that is part of an instruction takes none.
  bool broadcasts;
  // Weights of a function: 18 to 30 bytes of code each, input lines among them. Of 1,600 that is 29 to 48 KB, of which
  // a first-level cache may not hold all; with 640, of which it does, sums put down in between cost more.
  int64_t most_terms;
  // Whether functions ask for lines of the cache: those of their results, and what is packed next.
  bool asks;
};
constexpr Ways kOfZen5{true, 640, false}, kCommon{false, 1600, true};
// The lanes of two lines one after the other: what stands at even columns, then at odd ones.
alignas(64) constexpr std::array<int32_t, 2 * kLine> kWoven = [] {
  std::array<int32_t, 2 * kLine> woven{};
  for (int i = 0; i < 2 * kLine; ++i) woven[static_cast<size_t>(i)] = i / 2 + i % 2 * static_cast<int>(kLine);
  return woven;
}();

struct Piece {
  int64_t first_channel, channels;
  int32_t first_line;
  bool starts, ends;
  size_t code, values;
  int64_t asks;  // lines of what comes next that a call asks for
};

class Shifted final : public ShiftedKernel {
 public:
  Shifted(const Packing& packing, int64_t in, int64_t channels)
      : form_(packing), channels_(channels), ways_(core() == Core::zen5 ? kOfZen5 : kCommon) {
    const Tiling& tiling = packing.tiling;
    const int64_t calls = (tiling.rows + rows_a_call() - 1) / rows_a_call();
    const int64_t lines = in * packing.rows.in * packing.columns.in * tiling.units / kLine;
    if (ways_.asks && tiling.bands == 1) ahead_ = (lines + calls - 1) / calls;
  }

  bool make(std::vector<ShiftedTerm> terms, int64_t most_bytes) {
    for (const ShiftedTerm& term : terms)
      for (int64_t v = 0; v < form_.vectors; ++v) shifts_.add(operand(term, v).shift);
    const int64_t groups = std::max<int64_t>(1, (channels_ + kChannels - 1) / kChannels);
    const auto group_begin = [&](int64_t g) { return channels_ * g / groups; };
    const std::vector<size_t> begin = sort(terms, groups);
    Assembler code;
    code.expect(terms.size() * 32);
    for (int64_t g = 0; g < groups; ++g) {
      const size_t first = begin[static_cast<size_t>(g)], last = begin[static_cast<size_t>(g) + 1];
      const size_t pieces = std::max<size_t>(1, (last - first + ways_.most_terms - 1) / ways_.most_terms);
      size_t from = first;
      for (size_t p = 0; p < pieces; ++p) {
        // Pieces end where an input channel does.
        size_t to = first + (last - first) * (p + 1) / pieces;
        while (to > from && to < last && terms[to].in == terms[to - 1].in) ++to;
        if (from == to && !(first == last)) continue;
        code.align(kAlignment);
        const int32_t line = from == to ? 0 : static_cast<int32_t>(terms[from].in * form_.channel);
        pieces_.push_back({group_begin(g), group_begin(g + 1) - group_begin(g), line, from == first, to == last,
                           code.size(), origin_.size(),
                           asks(static_cast<int64_t>(to - from), static_cast<int64_t>(terms.size()))});
        emit(pieces_.back(), terms.data() + from, to - from, group_begin(g), code);
        if (static_cast<int64_t>(code.size()) > most_bytes) return false;
        from = to;
      }
    }
    stream_.resize(origin_.size());
    return code_.hold(code.code());
  }

  void set_values(const float* values) override {
    for (size_t i = 0; i < origin_.size(); ++i) stream_[i] = values[origin_[i]];
  }
  int64_t code_size() const override { return static_cast<int64_t>(code_.size()); }

  void run(const ShiftedTile* tiles, int64_t count, const ShiftedTarget& target, const float* bias, bool relu,
           const ShiftedAhead& ahead) const override {
    constexpr float kZeros[kChannels] = {};
    alignas(64) float nowhere[kLine];
    const float floor = 0.0f;
    const int64_t step = rows_a_call();
    int64_t calls = 0;
    for (int64_t t = 0; t < count; ++t) calls += (tiles[t].rows + step - 1) / step;
    float* const partial = scratch<float>(Scratch::kPartial, calls * kSums * kLine);
    Call call{};
    call.floor = relu ? &floor : nullptr;
    call.apart[0] = target.channel * static_cast<int64_t>(sizeof(float));
    call.woven = kWoven.data();
    const int64_t coming = ahead.floats / kLine;
    int64_t asked = 0;
    if (!pieces_.empty()) ask_for(pieces_[0]);
    for (const Piece& piece : pieces_) {
      if (&piece != &pieces_.back()) ask_for(*(&piece + 1));
      const auto function = reinterpret_cast<Function>(reinterpret_cast<uintptr_t>(code_.at(piece.code)));
      call.values = stream_.data() + piece.values;
      call.bias = bias == nullptr ? kZeros : bias + piece.first_channel;
      call.partial = partial;
      for (int64_t t = 0; t < count; ++t) {
        const ShiftedTile& tile = tiles[t];
        call.x = tile.packed + piece.first_line * kLine;
        float* y = tile.y + piece.first_channel * target.channel;
        for (int64_t row = 0; row < tile.rows; row += step) {
          const bool second = step == 1 || row + 1 < tile.rows;
          call.y[0] = y;
          call.y[1] = second ? y + (step == 1 ? target.vector : target.row) : nowhere;
          call.apart[1] = second ? call.apart[0] : 0;
          // (Where nothing comes next, what is there already.)
          call.ahead = asked + piece.asks <= coming ? ahead.from + asked * kLine : tile.packed;
          asked += piece.asks;
          function(&call);
          call.x += step * form_.row * kLine;
          call.partial += kSums * kLine;
          y += step * target.row;
        }
      }
    }
  }

 private:
  int64_t rows_a_call() const { return form_.vectors == 2 ? 1 : 2; }
  ShiftedLine operand(const ShiftedTerm& term, int64_t vector) const {
    return form_.of(term.in, term.row, term.column, vector);
  }

  // By group, input channel, row, column (there and back in turn, so that rows one below the other share what is in
  // registers), output channel; terms come by output channel. Returns where groups begin.
  std::vector<size_t> sort(std::vector<ShiftedTerm>& terms, int64_t groups) const {
    int32_t ins = 0, rows = 0, left = 0, right = 0;
    for (const ShiftedTerm& term : terms) {
      ins = std::max(ins, term.in + 1), rows = std::max(rows, term.row + 1);
      left = std::min(left, term.column), right = std::max(right, term.column);
    }
    const int32_t width = right - left + 1;
    std::vector<int32_t> group_of(static_cast<size_t>(channels_));
    for (int64_t g = 0; g < groups; ++g)
      for (int64_t c = channels_ * g / groups; c < channels_ * (g + 1) / groups; ++c)
        group_of[static_cast<size_t>(c)] = static_cast<int32_t>(g);
    const size_t of_group = static_cast<size_t>(ins) * static_cast<size_t>(rows) * static_cast<size_t>(width);
    const auto key = [&](const ShiftedTerm& term) {
      const int32_t column = term.row % 2 == 0 ? term.column - left : right - term.column;
      return static_cast<size_t>(group_of[static_cast<size_t>(term.out)]) * of_group +
             static_cast<size_t>((term.in * rows + term.row) * width + column);
    };
    std::vector<size_t> at(static_cast<size_t>(groups) * of_group + 1);
    for (const ShiftedTerm& term : terms) ++at[key(term) + 1];
    for (size_t i = 1; i < at.size(); ++i) at[i] += at[i - 1];
    std::vector<size_t> begin(static_cast<size_t>(groups) + 1);
    for (size_t g = 0; g < begin.size(); ++g) begin[g] = at[g * of_group];
    std::vector<ShiftedTerm> sorted(terms.size());
    for (const ShiftedTerm& term : terms) sorted[at[key(term)]++] = term;
    terms.swap(sorted);
    return begin;
  }

  void emit(const Piece& piece, const ShiftedTerm* terms, size_t count, int64_t first_channel, Assembler& code) {
    const int channels = static_cast<int>(piece.channels);
    code.load(kRdx, kRdi, offsetof(Call, x));
    code.load(kRsi, kRdi, offsetof(Call, values));
    code.load(kRcx, kRdi, piece.starts ? offsetof(Call, bias) : offsetof(Call, partial));
    shifts_.set_masks(code, form_);
    for (int i = 0; i < 2 * channels; ++i)
      if (!piece.starts) code.load512(i, kRcx, i * 64);
      else if (i % 2 == 0) code.broadcast512(i, kRcx, i / 2 * 4);
      else code.move512(i, i - 1);

    if (ways_.asks) {
      code.load(kR8, kRdi, offsetof(Call, ahead));
      code.load(kRcx, kRdi, offsetof(Call, y));
      code.load(kR9, kRdi, offsetof(Call, apart));
      code.load(kR10, kRdi, offsetof(Call, y) + 8);
      code.load(kR11, kRdi, offsetof(Call, apart) + 8);
    }
    int64_t results = ways_.asks && piece.ends ? 0 : channels, asked = 0;

    const Weights weights = weights_of(terms, count);
    constexpr int kZero = kValue - 1;
    if (weights == Weights::kOredIn) code.zero512(kZero);
    HeldLines<kSums, kLines> lines(code, shifts_, piece.first_line, weights == Weights::kOredIn ? kLines - 1 : kLines);
    Walk values{kRsi, kReachValues};
    for (size_t i = 0; i < count; ++i) {
      // Lines of results by half the way; of what comes next all along.
      if (results * static_cast<int64_t>(count) < 2 * channels * static_cast<int64_t>(i) && results < channels)
        ask_for_result(results++, code);
      if (asked * static_cast<int64_t>(count) < piece.asks * static_cast<int64_t>(i))
        code.ask_nearer(kR8, static_cast<int32_t>(asked++) * 64);
      const ShiftedTerm& term = terms[i];
      const ShiftedLine one = operand(term, 0);
      const ShiftedLine other =
          form_.vectors == 2 ? operand(term, 1) : ShiftedLine{one.line + static_cast<int32_t>(form_.row), one.shift};
      const int a = lines.of(one), b = lines.of(other, a);
      const int to = 2 * static_cast<int>(term.out - first_channel);
      const int32_t at = values.to(code, static_cast<int32_t>(i) * 4);
      if (weights == Weights::kInOperand) {
        code.multiply_add512(to, a, kRsi, at);
        code.multiply_add512(to + 1, b, kRsi, at);
      } else {
        if (weights == Weights::kOredIn) code.or_broadcast512(kValue, kZero, kRsi, at);
        else code.broadcast512(kValue, kRsi, at);
        code.multiply_add512(to, a, kValue);
        code.multiply_add512(to + 1, b, kValue);
      }
      origin_.push_back(term.origin);
    }

    if (!piece.ends) {
      code.load(kRcx, kRdi, offsetof(Call, partial));
      for (int i = 0; i < 2 * channels; ++i) code.store512(kRcx, i * 64, i);
      code.end();
      return;
    }
    code.load(kR8, kRdi, offsetof(Call, floor));
    const size_t no_floor = code.jump_if_zero(kR8);
    code.broadcast512(kValue, kR8, 0);
    for (int i = 0; i < 2 * channels; ++i) code.maximum512(i, kValue);
    code.land(no_floor);
    code.load(kRcx, kRdi, offsetof(Call, y));
    code.load(kR9, kRdi, offsetof(Call, apart));
    if (form_.vectors == 2 && form_.units == 1) put_woven(channels, code);
    else put_two(channels, code);
    code.end();
  }

  // How many lines of what comes next a call of so many of all terms asks for: of a tile's planes its share, but not so
  // many that little else is done.
  int64_t asks(int64_t count, int64_t all) const {
    return all == 0 ? 0 : std::min((ahead_ * count + all - 1) / all, count / 4);
  }

  // Loads beside the two cycles of a weight's multiply-adds: a line takes one and a half (one, and what comes from the
  // second-level cache goes through the same port), a weight half of one. Where a second load of each weight would be
  // too much, it is an `or` instead.
  Weights weights_of(const ShiftedTerm* terms, size_t count) const {
    if (ways_.broadcasts) return Weights::kLoaded;
    size_t lines = 0;
    for (size_t i = 0; i < count; ++i) {
      const bool channel = i == 0 || terms[i].in != terms[i - 1].in;
      if (channel || terms[i].row != terms[i - 1].row)
        // (Of two rows the next place's have the second in common.)
        lines += form_.vectors == 2 || channel || terms[i].row > terms[i - 1].row + 1 ? 2 : 1;
    }
    return 1.5 * static_cast<double>(lines) > static_cast<double>(count) ? Weights::kOredIn : Weights::kInOperand;
  }

  // The lines of the cache of channel c's results. (Their ends: those before are the row's above.)
  void ask_for_result(int64_t c, Assembler& code) const {
    const bool row = form_.vectors == 2 && form_.units == 1;
    if (c > 0) code.add(kRcx, kR9);
    code.ask_to_write(kRcx, 63);
    if (row) code.ask_to_write(kRcx, 127);
    else {
      if (c > 0) code.add(kR10, kR11);
      code.ask_to_write(kR10, 63);
    }
  }

  // The two lines as the row that they are.
  void put_woven(int channels, Assembler& code) const {
    constexpr int kLow = kSums, kHigh = kSums + 1, kCopy = kSums + 2;
    code.load(kR10, kRdi, offsetof(Call, woven));
    code.load512(kLow, kR10, 0);
    code.load512(kHigh, kR10, 64);
    const int64_t low = std::min(form_.width, kLine), high = form_.width - low;
    if (low < kLine) code.set_mask(1, (1 << low) - 1);
    if (high < kLine) code.set_mask(2, (1 << high) - 1);
    for (int c = 0; c < channels; ++c) {
      if (c > 0) code.add(kRcx, kR9);
      code.move512(kCopy, 2 * c);
      code.permute512(kCopy, kLow, 2 * c + 1);
      code.permute512(2 * c, kHigh, 2 * c + 1);
      if (low < kLine) code.store512(kRcx, 0, kCopy, 1);
      else code.store512(kRcx, 0, kCopy);
      if (high == kLine) code.store512(kRcx, 64, 2 * c);
      else if (high > 0) code.store512(kRcx, 64, 2 * c, 2);
    }
  }
  // Each where it belongs.
  void put_two(int channels, Assembler& code) const {
    const bool whole = form_.units > 1 || form_.width >= kLine;
    code.load(kR10, kRdi, offsetof(Call, y) + 8);
    code.load(kR11, kRdi, offsetof(Call, apart) + 8);
    if (!whole) code.set_mask(1, (1 << form_.width) - 1);
    for (int c = 0; c < channels; ++c) {
      if (c > 0) code.add(kRcx, kR9), code.add(kR10, kR11);
      for (int i = 0; i < 2; ++i)
        if (whole) code.store512(i == 0 ? kRcx : kR10, 0, 2 * c + i);
        else code.store512(i == 0 ? kRcx : kR10, 0, 2 * c + i, 1);
    }
  }

  // Brings a piece's code and values to the second-level cache.
  void ask_for(const Piece& piece) const {
    const bool last = &piece == &pieces_.back();
    const size_t code = last ? code_.size() : (&piece + 1)->code;
    const size_t values = last ? stream_.size() : (&piece + 1)->values;
    for (size_t at = piece.code; at < code; at += 64) __builtin_prefetch(code_.at(at), 0, 2);
    for (size_t at = piece.values; at < values; at += 16) __builtin_prefetch(stream_.data() + at, 0, 2);
  }

  const Form form_;
  const int64_t channels_;
  const Ways ways_;
  int64_t ahead_ = 0;  // lines of the cache that a tile's planes are, for each time that all functions are called
  Shifts shifts_;
  std::vector<Piece> pieces_;    // by group, then by block
  std::vector<int32_t> origin_;  // of each value of the stream, its place in the weight
  std::vector<float> stream_;
  CodeMemory code_;
};

}  // namespace

bool holds_whole_rows(const Axes& axes, const Tiling& tiling) {
  const Axis& columns = axes.columns;
  if (columns.phases.size() != 1 || axes.rows.phases.size() != 1 || columns.stride != 1 || columns.step != 1 ||
      tiling.segments != 1 || tiling.vectors > 2 || columns.in > tiling.segment())
    return false;
  int64_t least = 0, most = 0;
  for (const Tap& tap : columns.phases[0]) least = std::min(least, tap.offset), most = std::max(most, tap.offset);
  least = divide_down(least, tiling.vectors), most = divide_down(most + tiling.vectors - 1, tiling.vectors);
  return most - least <= Shifts::kMost && -least < tiling.columns && most < tiling.columns;
}

bool can_shift() { return can_generate() && !is_avx2(); }

std::unique_ptr<ShiftedKernel> make_shifted(const Packing& packing, int64_t in, int64_t channels,
                                            std::vector<ShiftedTerm> terms, int64_t most_bytes) {
  auto made = std::make_unique<Shifted>(packing, in, channels);
  return made->make(std::move(terms), most_bytes) ? std::move(made) : nullptr;
}

}  // namespace espalier::sparse
