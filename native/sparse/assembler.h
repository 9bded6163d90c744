// The few x86-64 instructions that generated products are made of. The one place outside simd/ that knows
// how a processor's instructions are written; see Intel's manual, volume 2, for the encodings.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace espalier::sparse {

// General registers by their numbers; the first arguments of a System V call are rdi, rsi, rdx, rcx, r8, r9.
enum Gpr : int { kRax = 0, kRcx = 1, kRdx = 2, kRsi = 6, kRdi = 7, kR8 = 8, kR9 = 9, kR10 = 10, kR11 = 11 };

class Assembler {
 public:
  const std::vector<uint8_t>& code() const {
    code_.resize(size_);
    return code_;
  }
  size_t size() const { return size_; }
  // Room for so many bytes, if they can be foretold.
  void expect(size_t bytes) { code_.resize(std::max(code_.size(), bytes)); }
  void align(size_t to) {
    while (size_ % to != 0) byte(0xCC);
  }

  void add(Gpr to, int32_t value) {
    const bool small = value >= -128 && value <= 127;
    byte(to >= 8 ? 0x49 : 0x48);
    byte(small ? 0x83 : 0x81);
    byte(0xC0 | (to & 7));
    if (small) byte(value & 0xFF);
    else word(value);
  }
  void move(Gpr to, Gpr from) {
    byte(0x48 | (from >= 8 ? 4 : 0) | (to >= 8 ? 1 : 0));
    byte(0x89);
    byte(0xC0 | (from & 7) << 3 | (to & 7));
  }
  void add(Gpr to, Gpr from) {
    byte(0x48 | (from >= 8 ? 4 : 0) | (to >= 8 ? 1 : 0));
    byte(0x01);
    byte(0xC0 | (from & 7) << 3 | (to & 7));
  }
  // to = the 64 bits at base + offset, which is a multiple of 8 in one byte
  void load(Gpr to, Gpr base, size_t offset) {
    byte(0x48 | (to >= 8 ? 4 : 0) | (base >= 8 ? 1 : 0));
    byte(0x8B);
    byte(0x40 | (to & 7) << 3 | (base & 7));
    byte(static_cast<int>(offset) & 0xFF);
  }
  // Mask register `mask` (1 to 7) = bits; eax is overwritten.
  void set_mask(int mask, int32_t bits) {
    byte(0xB8);
    word(bits);
    for (const int b : {0xC5, 0xF8, 0x92, 0xC0 | mask << 3}) byte(b);
  }
  // Jumps forward where the register is 0; `land` says where to.
  size_t jump_if_zero(Gpr reg) {
    byte(0x48 | (reg >= 8 ? 5 : 0));
    byte(0x85);
    byte(0xC0 | (reg & 7) << 3 | (reg & 7));
    byte(0x0F);
    byte(0x84);
    word(0);
    return size_;
  }
  // The same where the byte at base + offset is 0.
  size_t jump_if_zero_byte(Gpr base, int offset) {
    if (base >= 8) byte(0x41);
    byte(0x80);
    byte(0x40 | 7 << 3 | (base & 7));
    byte(offset & 0xFF);
    byte(0);
    byte(0x0F);
    byte(0x84);
    word(0);
    return size_;
  }
  void land(size_t jump) {
    const uint32_t distance = static_cast<uint32_t>(size_ - jump);
    for (size_t i = 0; i < 4; ++i) code_[jump - 4 + i] = static_cast<uint8_t>(distance >> (8 * i));
  }
  // The register one less; back to `start` while it is not 0.
  void repeat(Gpr count, size_t start) {
    add(count, -1);
    byte(0x0F);
    byte(0x85);
    word(static_cast<int32_t>(start) - static_cast<int32_t>(size_ + 4));
  }
  // To code that stands further up.
  void jump(size_t target) {
    byte(0xE9);
    word(static_cast<int32_t>(target) - static_cast<int32_t>(size_ + 4));
  }
  // The same, and back by `leave`.
  void call(size_t target) {
    byte(0xE8);
    word(static_cast<int32_t>(target) - static_cast<int32_t>(size_ + 4));
  }
  // To where the 64 bits at base + offset point, a displacement of one byte; or there and back, by `leave`.
  void jump(Gpr base, int offset) { indirect(4, base, offset); }
  void call(Gpr base, int offset) { indirect(2, base, offset); }
  void leave() { byte(0xC3); }
  // Asks for the line of the cache at base + offset: to be written, or to the second level.
  void ask_to_write(Gpr base, int32_t offset) { ask(0x0D, 1, base, offset); }
  void ask_nearer(Gpr base, int32_t offset) { ask(0x18, 2, base, offset); }
  void end() {
    for (const int b : {0xC5, 0xF8, 0x77, 0xC3}) byte(b);  // vzeroupper, ret
  }

  // 512-bit, on registers 0 to 31. Displacements of a byte count in units of the operand's size.
  void load512(int to, Gpr base, int32_t offset) { evex<64>(1, 0, 0x10, to, 0, base, offset, false); }
  void store512(Gpr base, int32_t offset, int from) { evex<64>(1, 0, 0x11, from, 0, base, offset, false); }
  void broadcast512(int to, Gpr base, int32_t offset) { evex<4>(2, 1, 0x18, to, 0, base, offset, false); }
  // to = with | the 32 bits at base + offset, in every lane
  void or_broadcast512(int to, int with, Gpr base, int32_t offset) {
    evex<4>(1, 1, 0xEB, to, with, base, offset, true);
  }
  // to += with · the float at base + offset
  void multiply_add512(int to, int with, Gpr base, int32_t offset) {
    evex<4>(2, 1, 0xB8, to, with, base, offset, true);
  }
  // to += with · by
  void multiply_add512(int to, int with, int by) { evex_registers(2, 1, 0xB8, to, with, by); }
  // Four neighbouring floats in each quarter of `to`; float `which` of each quarter of `from` in all four lanes of it.
  void broadcast_four512(int to, Gpr base, int32_t offset) { evex<16>(2, 1, 0x1A, to, 0, base, offset, false); }
  void spread_one512(int to, int from, int which) {
    evex_registers(3, 1, 0x04, to, 0, from);
    byte(which * 0x55);
  }
  // to += with · the vector at base + offset
  void multiply_add_vector512(int to, int with, Gpr base, int32_t offset) {
    evex<64>(2, 1, 0xB8, to, with, base, offset, false);
  }
  // to = max(with, to), which keeps a NaN of `to`
  void maximum512(int to, int with) { evex_registers(1, 0, 0x5F, to, with, to); }
  // Words. to += sign · with, or sign · the vector at base + offset, for a sign of −1 or 1
  void add_words512(int sign, int to, int with) { evex_registers(1, 1, added_words(sign), to, to, with); }
  void add_words512(int sign, int to, Gpr base, int32_t offset) {
    evex<64>(1, 1, added_words(sign), to, to, base, offset, false);
  }

  // The second half of `from`; the words of the first half as whole numbers of 32 bits, with their sign.
  void second_half512(int to, int from) {
    evex_registers(3, 1, 0x3B, from, 0, to);
    byte(1);
  }
  void widen_words512(int to, int from) { evex_registers(2, 1, 0x23, to, 0, from); }
  // Whole numbers of 32 bits, with that at base + offset in every lane: the sum, the greater one. As float32.
  void add_integer512(int to, Gpr base, int32_t offset) { evex<4>(1, 1, 0xFE, to, to, base, offset, true); }
  void maximum_integer512(int to, Gpr base, int32_t offset) { evex<4>(2, 1, 0x3D, to, to, base, offset, true); }
  void maximum_integer512(int to, int with) { evex_registers(2, 1, 0x3D, to, to, with); }
  void convert_integers512(int to, int from) { evex_registers(1, 0, 0x5B, to, 0, from); }

  // to += the four codes of each lane of `with`, bytes without sign, times the four bytes with sign at base + offset.
  void multiply_add_bytes512(int to, int with, Gpr base, int32_t offset) {
    evex<4>(2, 1, 0x50, to, with, base, offset, true);
  }

  // Bytes, or words, of a and b by turns, from the first or second half of each quarter.
  void interleave_bytes512(int half, int to, int a, int b) { evex_registers(1, 1, half == 0 ? 0x60 : 0x68, to, a, b); }
  void interleave_words512(int half, int to, int a, int b) { evex_registers(1, 1, half == 0 ? 0x61 : 0x69, to, a, b); }

  // Lane i of `to` = lane i + by of `from`, for those i that `mask` has; 0 for the others.
  void shift_lanes512(int to, int from, int by, int mask) {
    evex_registers(3, 1, 0x03, to, from, from, 0x80 | mask);
    byte(by & 15);
  }
  // to = the lanes of `to` (0 to 15) and `with` (16 to 31) that `index` names
  void permute512(int to, int index, int with) { evex_registers(2, 1, 0x7F, to, index, with); }
  void zero512(int to) { evex_registers(1, 1, 0xEF, to, to, to); }
  void add512(int to, int a, int b) { evex_registers(1, 0, 0x58, to, a, b); }
  // to += the vector at base + offset
  void add512(int to, Gpr base, int32_t offset) { evex<64>(1, 0, 0x58, to, to, base, offset, false); }
  // Two of the four quarters of a, then two of b; or, within each quarter, two of the four floats of a's, then two of
  // b's. `which` names each in two bits, the first lowest.
  void choose_quarters512(int to, int a, int b, int which) {
    evex_registers(3, 1, 0x23, to, a, b);
    byte(which);
  }
  void choose512(int to, int a, int b, int which) {
    evex_registers(1, 0, 0xC6, to, a, b);
    byte(which);
  }
  void move512(int to, int from) { evex_registers(1, 0, 0x28, to, 0, from); }
  // Only the lanes that `mask` has.
  void store512(Gpr base, int32_t offset, int from, int mask) {
    evex<64>(1, 0, 0x11, from, 0, base, offset, false, mask);
  }

  // 256-bit, on registers 0 to 15.
  void load256(int to, Gpr base, int32_t offset) { vex(1, 0, 0x10, to, 0, base, offset); }
  void store256(Gpr base, int32_t offset, int from) { vex(1, 0, 0x11, from, 0, base, offset); }
  void broadcast256(int to, Gpr base, int32_t offset) { vex(2, 1, 0x18, to, 0, base, offset); }
  // to += with · by
  void multiply_add256(int to, int with, int by) { vex_registers(2, 1, 0xB8, to, with, by); }
  void maximum256(int to, int with) { vex_registers(1, 0, 0x5F, to, with, to); }
  void zero_words256(int to) { short_vex_registers(1, 0xEF, to, 0, 0); }
  // In a byte less than others: `with` is one of registers 0 to 7, or the vector at base + offset, base one of 0 to 7,
  // too.
  void load_low256(int to, Gpr base, int32_t offset) { short_vex(2, 0x6F, to, 0, base, offset); }
  void add_words_low256(int sign, int to, int with) { short_vex_registers(1, added_words(sign), to, to, with); }
  void add_words_low256(int sign, int to, Gpr base, int32_t offset) {
    short_vex(1, added_words(sign), to, to, base, offset);
  }

 private:
  // (Millions of bytes: push_back would look at the capacity, and move the end, for each.)
  void byte(int value) {
    if (size_ == code_.size()) code_.resize(2 * size_ + 4096);
    code_[size_++] = static_cast<uint8_t>(value);
  }
  // The lower `count` bytes: most instructions are one store.
  void put(uint64_t bytes, size_t count) {
    if (size_ + sizeof bytes > code_.size()) code_.resize(2 * size_ + 4096);
    std::memcpy(code_.data() + size_, &bytes, sizeof bytes);
    size_ += count;
  }
  void word(int32_t value) {
    for (int shift = 0; shift < 32; shift += 8) byte((static_cast<uint32_t>(value) >> shift) & 0xFF);
  }
  // The opcode of vpsubw or vpaddw. (Not a jump: nobody foretells signs.)
  static int added_words(int sign) { return 0xFB + 2 * sign; }
  // Bit `which` of a register's number, upside down, as the prefixes have it.
  static int inverted(int number, int which) { return (~number >> which) & 1; }

  void indirect(int which, Gpr base, int offset) {
    if (base >= 8) byte(0x41);
    byte(0xFF);
    byte(0x40 | which << 3 | (base & 7));
    byte(offset & 0xFF);
  }
  void ask(int opcode, int which, Gpr base, int32_t offset) {
    if (base >= 8) byte(0x41);
    byte(0x0F);
    byte(opcode);
    memory(which, base, offset, 1);
  }
  void memory(int reg, Gpr base, int32_t offset, int unit) {
    const bool small = offset % unit == 0 && offset / unit >= -128 && offset / unit <= 127;
    byte((small ? 0x40 : 0x80) | (reg & 7) << 3 | (base & 7));
    if (small) byte((offset / unit) & 0xFF);
    else word(offset);
  }
  // Prefix, opcode and the byte that names the operands, in the order of a word's bytes.
  static uint64_t evex_head(int map, int pp, int opcode, int reg, int vvvv, int x, int b, int third, int operands) {
    const int first = inverted(reg, 3) << 7 | x << 6 | b << 5 | inverted(reg, 4) << 4 | map;
    const int second = (~vvvv & 15) << 3 | 4 | pp;
    third |= 0x40 | inverted(vvvv, 4) << 3;
    return 0x62 | static_cast<uint64_t>(first) << 8 | static_cast<uint64_t>(second) << 16 |
           static_cast<uint64_t>(third) << 24 | static_cast<uint64_t>(opcode) << 32 |
           static_cast<uint64_t>(operands) << 40;
  }
  // (As part of whoever writes instructions in turn: a call for each would be a twentieth of what making code takes.)
  template <int Unit>
  [[gnu::always_inline]] void evex(int map, int pp, int opcode, int reg, int vvvv, Gpr base, int32_t offset,
                                   bool broadcast, int masking = 0) {
    const bool small = offset % Unit == 0 && offset / Unit >= -128 && offset / Unit <= 127;
    const uint64_t head = evex_head(map, pp, opcode, reg, vvvv, 1, inverted(base, 3), (broadcast ? 0x10 : 0) | masking,
                                    (small ? 0x40 : 0x80) | (reg & 7) << 3 | (base & 7));
    if (small) put(head | static_cast<uint64_t>((offset / Unit) & 0xFF) << 48, 7);
    else put(head, 6), word(offset);
  }
  void evex_registers(int map, int pp, int opcode, int reg, int vvvv, int rm, int masking = 0) {
    put(evex_head(map, pp, opcode, reg, vvvv, inverted(rm, 4), inverted(rm, 3), masking,
                  0xC0 | (reg & 7) << 3 | (rm & 7)),
        6);
  }
  void vex_prefix(int map, int pp, int reg, int vvvv, int rm) {
    byte(0xC4);
    byte(inverted(reg, 3) << 7 | 0x40 | inverted(rm, 3) << 5 | map);
    byte((~vvvv & 15) << 3 | 4 | pp);
  }
  void vex(int map, int pp, int opcode, int reg, int vvvv, Gpr base, int32_t offset) {
    vex_prefix(map, pp, reg, vvvv, base);
    byte(opcode);
    memory(reg, base, offset, 1);
  }
  void vex_registers(int map, int pp, int opcode, int reg, int vvvv, int rm) {
    vex_prefix(map, pp, reg, vvvv, rm);
    byte(opcode);
    byte(0xC0 | (reg & 7) << 3 | (rm & 7));
  }

  // Prefix of two bytes and opcode.
  static uint64_t short_vex_head(int pp, int opcode, int reg, int vvvv) {
    const int second = inverted(reg, 3) << 7 | (~vvvv & 15) << 3 | 4 | pp;
    return 0xC5 | static_cast<uint64_t>(second) << 8 | static_cast<uint64_t>(opcode) << 16;
  }
  void short_vex(int pp, int opcode, int reg, int vvvv, Gpr base, int32_t offset) {
    const bool small = offset >= -128 && offset <= 127;
    const uint64_t operands = static_cast<uint64_t>((small ? 0x40 : 0x80) | (reg & 7) << 3 | (base & 7));
    const uint64_t displacement = static_cast<uint32_t>(offset) & (small ? 0xFFu : 0xFFFFFFFFu);
    put(short_vex_head(pp, opcode, reg, vvvv) | operands << 24 | displacement << 32, small ? 5 : 8);
  }
  void short_vex_registers(int pp, int opcode, int reg, int vvvv, int rm) {
    put(short_vex_head(pp, opcode, reg, vvvv) | static_cast<uint64_t>(0xC0 | (reg & 7) << 3 | (rm & 7)) << 24, 4);
  }

  mutable std::vector<uint8_t> code_;  // and room for more
  size_t size_ = 0;
};

}  // namespace espalier::sparse
