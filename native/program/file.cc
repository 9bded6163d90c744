#include "program/file.h"

#include <array>
#include <cstring>

#include "core/failure.h"

namespace espalier::program {
namespace {

// magic, version, checksum (of the length and the body), length of the body; little-endian.
constexpr char kMagic[8] = {'E', 'S', 'P', 'A', 'L', 'I', 'E', 'R'};
constexpr uint32_t kVersion = 2;
constexpr size_t kVersionAt = 8, kChecksumAt = 12, kLengthAt = 16;
static_assert(kHeaderBytes == kLengthAt + sizeof(uint64_t));

// table[k][b]: what byte b does to the checksum k bytes later, so that eight bytes are taken at once.
using Table = std::array<std::array<uint32_t, 256>, 8>;
constexpr Table made_table() {
  Table table{};
  for (uint32_t b = 0; b < 256; ++b) {
    uint32_t rest = b;
    for (int bit = 0; bit < 8; ++bit) rest = (rest >> 1) ^ (rest & 1 ? 0xEDB88320u : 0);
    table[0][b] = rest;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t b = 0; b < 256; ++b) table[k][b] = (table[k - 1][b] >> 8) ^ table[0][table[k - 1][b] & 255];
  return table;
}
constexpr Table kTable = made_table();

template <class T>
T read(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

}  // namespace

uint32_t checksum(uint32_t before, const uint8_t* data, size_t size) {
  uint32_t rest = ~before;
  for (; size >= 8; data += 8, size -= 8) {
    const uint32_t low = rest ^ read<uint32_t>(data), high = read<uint32_t>(data + 4);
    rest = kTable[7][low & 255] ^ kTable[6][low >> 8 & 255] ^ kTable[5][low >> 16 & 255] ^ kTable[4][low >> 24] ^
           kTable[3][high & 255] ^ kTable[2][high >> 8 & 255] ^ kTable[1][high >> 16 & 255] ^ kTable[0][high >> 24];
  }
  for (; size > 0; ++data, --size) rest = (rest >> 8) ^ kTable[0][(rest ^ *data) & 255];
  return ~rest;
}

void seal(uint8_t* file, size_t size) {
  const uint64_t length = size - kHeaderBytes;
  std::memcpy(file, kMagic, sizeof kMagic);
  std::memcpy(file + kVersionAt, &kVersion, sizeof kVersion);
  std::memcpy(file + kLengthAt, &length, sizeof length);
  const uint32_t sum = checksum(0, file + kLengthAt, size - kLengthAt);
  std::memcpy(file + kChecksumAt, &sum, sizeof sum);
}

Body unsealed(const uint8_t* file, size_t size) {
  if (size < sizeof kMagic || std::memcmp(file, kMagic, sizeof kMagic) != 0)
    fail(ESPALIER_INVALID_ARGUMENT, "the file does not begin as a program does");
  if (size < kHeaderBytes) fail(ESPALIER_INVALID_ARGUMENT, "the file ends after %zu bytes, within its header", size);
  const uint32_t version = read<uint32_t>(file + kVersionAt);
  if (version != kVersion)
    fail(ESPALIER_INVALID_ARGUMENT, "the file is of version %u, this library reads version %u", version, kVersion);
  const uint64_t length = read<uint64_t>(file + kLengthAt);
  if (length != size - kHeaderBytes)
    fail(ESPALIER_INVALID_ARGUMENT, "the file has %zu bytes behind its header, which speaks of %llu",
         size - kHeaderBytes, static_cast<unsigned long long>(length));
  if (checksum(0, file + kLengthAt, size - kLengthAt) != read<uint32_t>(file + kChecksumAt))
    fail(ESPALIER_INVALID_ARGUMENT, "the file is damaged: its checksum is not that of its contents");
  return {file + kHeaderBytes, static_cast<size_t>(length)};
}

}  // namespace espalier::program
