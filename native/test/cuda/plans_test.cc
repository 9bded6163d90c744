// What kernels are told of a convolution or a product before they run: against plain loops over every element.
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "cuda/conv_plan.cuh"
#include "cuda/splits.h"
#include "cuda/two_four_plan.h"
#include "stub.h"

namespace espalier::cuda {
namespace {

// Convolutions along one axis.
struct Line {
  int64_t in, kernel, stride, padding, dilation;
  int64_t out() const { return (in + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1; }
};

std::vector<Line> lines() {
  std::vector<Line> made;
  for (const int64_t in : {1, 7, 16})
    for (const int64_t kernel : {1, 2, 3, 5})
      for (const int64_t stride : {1, 2, 3, 4, 8})
        for (const int64_t padding : {0, 1, 3})
          for (const int64_t dilation : {1, 2, 3, 4}) {
            const Line line{in, kernel, stride, padding, dilation};
            if (in + 2 * padding > dilation * (kernel - 1)) made.push_back(line);
          }
  return made;
}

std::string told(const Line& l) {
  return std::to_string(l.in) + " by " + std::to_string(l.kernel) + ", stride " + std::to_string(l.stride) +
         ", padding " + std::to_string(l.padding) + ", dilation " + std::to_string(l.dilation);
}

// For each output position of an axis, the kernel elements that it reads and where: as the kernels walk it.
using Reads = std::multiset<std::pair<int64_t, int64_t>>;
std::map<int64_t, Reads> walked(const conv::Axis& axis) {
  std::map<int64_t, Reads> made;
  for (int a = 0; a < axis.phases; ++a) {
    const conv::Axis::Phase& phase = axis.phase[a];
    for (int64_t t = 0; t < axis.lattice(a); ++t) {
      const auto [at, fresh] = made.try_emplace(t * axis.phases + a);
      EXPECT_TRUE(fresh) << "position " << at->first << " comes twice";
      for (int64_t j = 0; j < phase.taps; ++j) {
        const int64_t from = t * axis.step + phase.offset + j * axis.hop;
        if (from >= 0 && from < axis.in) at->second.insert({phase.element + j * axis.element_hop, from});
      }
    }
  }
  return made;
}

TEST(Plans, ForwardAxesReadWhatAConvolutionDoes) {
  for (const Line& l : lines()) {
    const auto made = walked(conv::forward_axis(l.in, l.out(), l.kernel, l.stride, l.padding, l.dilation));
    ASSERT_EQ(static_cast<int64_t>(made.size()), l.out()) << told(l);
    for (int64_t o = 0; o < l.out(); ++o) {
      Reads expected;
      for (int64_t r = 0; r < l.kernel; ++r) {
        const int64_t from = o * l.stride - l.padding + r * l.dilation;
        if (from >= 0 && from < l.in) expected.insert({r, from});
      }
      ASSERT_EQ(made.at(o), expected) << told(l) << ", position " << o;
    }
  }
}

TEST(Plans, AxesOfTheDataGradientReadEveryProductOnce) {
  for (const Line& l : lines()) {
    const auto made = walked(conv::data_grad_axis(l.in, l.out(), l.kernel, l.stride, l.padding, l.dilation));
    ASSERT_EQ(static_cast<int64_t>(made.size()), l.in) << told(l);
    // Of the convolution's own loop: which of its products has which element of x.
    std::map<int64_t, Reads> expected;
    for (int64_t o = 0; o < l.out(); ++o)
      for (int64_t r = 0; r < l.kernel; ++r) expected[o * l.stride - l.padding + r * l.dilation].insert({r, o});
    for (int64_t h = 0; h < l.in; ++h) ASSERT_EQ(made.at(h), expected[h]) << told(l) << ", position " << h;
  }
}

// A convolution of images of one line, its columns folded into channels as the kernels are handed them.
template <class T>
void check_fold(const espalier_conv2d& s, bool folds) {
  SCOPED_TRACE("width " + std::to_string(s.in_width) + ", kernel " + std::to_string(s.kernel_width) + ", stride " +
               std::to_string(s.stride_width) + ", padding " + std::to_string(s.padding_left) + ", channels " +
               std::to_string(s.in_channels));
  const conv::Fold fold = conv::fold_of<T>(s);
  ASSERT_EQ(fold.factor > 1, folds);
  if (!folds) {
    EXPECT_EQ(conv::folded(s, fold).kernel_width, s.kernel_width);
    return;
  }
  const espalier_conv2d left = conv::folded(s, fold);
  ASSERT_LE(s.in_channels, fold.slot);
  ASSERT_EQ(left.in_channels, conv::kChunk<T>);
  ASSERT_EQ(conv::padded<T>(left.in_channels), left.in_channels);
  ASSERT_GE(left.in_width * fold.factor, s.in_width);
  const auto x = [&](int64_t column, int64_t c) { return 1 + column * 31 + c * 1009; };
  const auto w = [&](int64_t q, int64_t c) { return 1 + q * 7 + c * 211; };
  // Each kernel column has a place of its own among those that there are.
  std::vector<std::vector<int64_t>> weight(static_cast<size_t>(left.kernel_width),
                                           std::vector<int64_t>(static_cast<size_t>(left.in_channels)));
  for (int64_t q = 0; q < s.kernel_width; ++q) {
    const int64_t tap = fold.tap(q, s.padding_left), place = fold.place(q, s.padding_left);
    ASSERT_TRUE(tap >= 0 && tap < left.kernel_width) << tap;
    ASSERT_TRUE(place >= 0 && place < fold.factor) << place;
    for (int64_t c = 0; c < s.in_channels; ++c) {
      int64_t& to = weight[static_cast<size_t>(tap)][static_cast<size_t>(place * fold.slot + c)];
      ASSERT_EQ(to, 0) << "column " << q << " has another's place";
      to = w(q, c);
    }
  }
  const conv::Axis axis = conv::forward_axis(left.in_width, s.out_width, left.kernel_width, left.stride_width,
                                             left.padding_left, left.dilation_width);
  const auto reads = walked(axis);
  for (int64_t j = 0; j < s.out_width; ++j) {
    int64_t expected = 0, sum = 0;
    for (int64_t q = 0; q < s.kernel_width; ++q) {
      const int64_t column = j * s.stride_width - s.padding_left + q;
      for (int64_t c = 0; c < s.in_channels; ++c)
        if (column >= 0 && column < s.in_width) expected += w(q, c) * x(column, c);
    }
    for (const auto& [tap, chunk] : reads.at(j))
      for (int64_t e = 0; e < left.in_channels; ++e) {
        const int64_t column = chunk * fold.factor + e / fold.slot, c = e % fold.slot;
        if (column < s.in_width && c < s.in_channels)
          sum += weight[static_cast<size_t>(tap)][static_cast<size_t>(e)] * x(column, c);
      }
    ASSERT_EQ(sum, expected) << "position " << j;
  }
}

espalier_conv2d of_line(int64_t channels, int64_t width, int64_t kernel, int64_t stride, int64_t padding) {
  espalier_conv2d s{};
  s.n = s.groups = s.in_height = s.out_height = s.kernel_height = s.stride_height = 1;
  s.dilation_height = s.dilation_width = 1;
  s.in_channels = channels, s.out_channels = 8;
  s.in_width = width, s.kernel_width = kernel, s.stride_width = stride, s.padding_left = padding;
  s.out_width = (width + 2 * padding - kernel) / stride + 1;
  return s;
}

TEST(Plans, FoldedColumnsGiveTheSameConvolution) {
  for (const int64_t width : {16, 23, 224})
    for (const int64_t kernel : {1, 2, 3, 4, 7, 11})
      for (const int64_t padding : {0, 1, 2, 3, 5})
        for (const int64_t stride : {1, 2, 4})
          for (const int64_t channels : {1, 2, 3, 4, 8}) {
            const espalier_conv2d s = of_line(channels, width, kernel, stride, padding);
            // 16 bytes hold 4 or 8 elements.
            check_fold<float>(s, stride > 1 && channels * stride <= 4);
            check_fold<uint16_t>(s, stride > 1 && channels * stride <= 8);
          }
  espalier_conv2d grouped = of_line(2, 16, 3, 2, 1);
  grouped.groups = 2;
  EXPECT_EQ(conv::fold_of<float>(grouped).factor, 1);
  espalier_conv2d dilated = of_line(2, 16, 3, 2, 1);
  dilated.dilation_width = 2;
  EXPECT_EQ(conv::fold_of<float>(dilated).factor, 1);
}

TEST(Plans, ChannelsArePaddedToWholeChunks) {
  for (int64_t channels = 1; channels < 70; ++channels) {
    for (const auto& [padded, chunk] : {std::pair{conv::padded<double>(channels), int64_t{2}},
                                        {conv::padded<float>(channels), int64_t{4}},
                                        {conv::padded<uint16_t>(channels), int64_t{8}}}) {
      EXPECT_EQ(padded % chunk, 0);
      EXPECT_TRUE(padded >= channels && padded < channels + chunk) << channels << ": " << padded;
    }
  }
}

TEST(Plans, ConvolutionsBeyondTheMasksOfTapsAreForThePlainKernels) {
  espalier_conv2d s = of_line(8, 4096, 15, 8, 0);
  EXPECT_TRUE(conv::ordinary(s));
  s.kernel_width = 16;
  EXPECT_FALSE(conv::ordinary(s));
  s = of_line(8, 4096, 15, 9, 0);
  EXPECT_FALSE(conv::ordinary(s));
  s = of_line(8, 4096, 3, 1, 0);
  s.groups = 65536;
  EXPECT_FALSE(conv::ordinary(s));
  // An image of 2^31 elements is beyond an index.
  s = of_line(1 << 10, 1 << 20, 1, 1, 0);
  EXPECT_TRUE(conv::ordinary(s));
  s = of_line(1 << 11, 1 << 20, 1, 1, 0);
  EXPECT_FALSE(conv::ordinary(s));
}

TEST(Plans, ImagesAtOnceStayWithin32Bits) {
  for (const int64_t elements : {int64_t{1}, int64_t{1000}, int64_t{1} << 20, (int64_t{1} << 30) + 1})
    for (const int64_t positions : {int64_t{1}, int64_t{50176}, int64_t{1} << 29}) {
      const int64_t images = conv::images_at_once(elements, positions);
      EXPECT_LT(images * std::max(elements, positions), (int64_t{1} << 31) - 65535);
      EXPECT_GE((images + 1) * std::max(elements, positions), (int64_t{1} << 31) - 65536);
    }
  EXPECT_EQ(conv::images_at_once(int64_t{1} << 40, 1), 1);
  EXPECT_EQ(conv::images_at_once(0, 0), (int64_t{1} << 31) - 65536);
}

TEST(Plans, MomentsOfTilesAreOfOneArray) {
  espalier_conv2d s = of_line(64, 56 * 56, 1, 1, 0);  // 56·56·71 elements: 9644 images at once
  s.n = 256;
  EXPECT_TRUE(conv::moments_in_one(s));
  s.n = 1 << 20;  // whole tiles of rows all the same
  EXPECT_TRUE(conv::moments_in_one(s));
  s = of_line(64, 1 << 20, 1, 1, 0);  // 28 at once
  s.n = 28;
  EXPECT_TRUE(conv::moments_in_one(s));
  s.n = 29;
  EXPECT_FALSE(conv::moments_in_one(s));
}

TEST(Plans, PartsOfKCoverItAndFillTheDeviceAtMostOnce) {
  ASSERT_EQ(traits().multiprocessors, 132);
  for (int64_t tiles = 0; tiles < 300; ++tiles)
    for (int64_t steps = 0; steps < 1200; steps += 1 + steps / 20) {
      const Splits splits = split_for(tiles, steps);
      ASSERT_TRUE(splits.parts >= 1 && splits.parts <= 64) << tiles << ", " << steps;
      ASSERT_GE(splits.parts * splits.steps, steps) << tiles << ", " << steps;
      // No part is empty.
      ASSERT_TRUE(steps == 0 || (splits.parts - 1) * splits.steps < steps) << tiles << ", " << steps;
      if (splits.parts > 1) {
        ASSERT_LE(tiles * splits.parts, 132) << tiles << ", " << steps;
        ASSERT_GE(splits.steps, 8) << tiles << ", " << steps;
      }
    }
  const auto expect = [](int64_t tiles, int64_t steps, int64_t parts, int64_t each) {
    const Splits splits = split_for(tiles, steps);
    EXPECT_EQ(std::make_pair(splits.parts, splits.steps), std::make_pair(parts, each)) << tiles << ", " << steps;
  };
  expect(1, 1024, 64, 16);
  expect(4, 1024, 32, 32);
  expect(66, 1024, 2, 512);
  expect(67, 1024, 1, 1024);
  expect(1, 15, 1, 15);
  expect(1, 16, 2, 8);
  expect(1, 17, 2, 9);
}

// The word, and the bits of it, that two_four.h says hold the group of row i from step k on.
std::pair<int64_t, int> place_of(int64_t i, int64_t k, int64_t blocks_k, bool bytes) {
  const int64_t block = i / 16 * blocks_k + k / 64, g = i % 8, upper = i / 8 % 2, half = k / 32 % 2;
  const int64_t q = 2 * half + (bytes ? upper : k / 16 % 2);
  const int64_t bits = bytes ? k % 32 / 4 * 4 : upper * 16 + k % 16 / 4 * 4;
  return {block * 32 + g * 4 + q, static_cast<int>(bits)};
}

template <class T>
void check_places(int64_t m, int64_t k) {
  const espalier_cuda_two_four shape{m, k, 1, 0};
  const int64_t blocks_k = tiles_of(k, kPlaceK);
  std::vector<std::pair<int64_t, int>> found(static_cast<size_t>(m * k / 4), {-1, 0});
  for (int64_t word = 0; word < words_of(shape); ++word)
    each_group<T>(word, shape, blocks_k, [&](int64_t group, int bits) {
      ASSERT_TRUE(group >= 0 && group < m * k / 4) << group;
      auto& to = found[static_cast<size_t>(group)];
      EXPECT_EQ(to.first, -1) << "group " << group << " comes twice";
      to = {word, bits};
    });
  for (int64_t i = 0; i < m; ++i)
    for (int64_t at = 0; at < k; at += 4)
      ASSERT_EQ(found[static_cast<size_t>((i * k + at) / 4)], place_of(i, at, blocks_k, sizeof(T) == 1))
          << "row " << i << ", step " << at << " of " << m << "x" << k;
}

TEST(Plans, EveryGroupOfFourHasItsPlace) {
  for (const int64_t m : {1, 7, 16, 17, 40})
    for (const int64_t k : {32, 64, 96, 160}) {
      check_places<uint16_t>(m, k);
      check_places<int8_t>(m, k);
    }
}

TEST(Plans, HighTilesOf24AreTakenWhereTheyFill) {
  ASSERT_EQ(traits().multiprocessors, 132);
  EXPECT_TRUE(takes_high_tiles(8192, 8192));
  EXPECT_TRUE(takes_high_tiles(4096, 4096));
  EXPECT_FALSE(takes_high_tiles(2048, 2048));    // 88 tiles
  EXPECT_FALSE(takes_high_tiles(128, 1 << 20));  // a quarter of each cluster
  EXPECT_TRUE(takes_high_tiles(256, 192 * 66));
  EXPECT_FALSE(takes_high_tiles(255, 192 * 66));
  EXPECT_FALSE(takes_high_tiles(256, 192 * 65));  // 130 tiles
  EXPECT_TRUE(fills_hopper(2048, 2048));
  EXPECT_FALSE(fills_hopper(1024, 1024));
  EXPECT_TRUE(fills_hopper(128, 66 * 256));
  EXPECT_FALSE(fills_hopper(128, 65 * 256));
  // What high tiles cover and nobody wants, counted tile by tile.
  for (const int64_t m : {300, 513, 700, 1025, 3000})
    for (const int64_t n : {6000, 12700, 40000}) {
      int64_t wanted = 0, covered = 0, tiles = 0;
      for (int64_t i = 0; i < m; i += 2 * kHighRows)
        for (int64_t j = 0; j < n; j += kHighColumns, tiles += 2) {
          wanted += std::min<int64_t>(2 * kHighRows, m - i) * std::min<int64_t>(kHighColumns, n - j);
          covered += 2 * kHighRows * kHighColumns;
        }
      EXPECT_EQ(takes_high_tiles(m, n), tiles >= 132 && 2 * wanted >= covered) << m << "x" << n;
    }
}

}  // namespace
}  // namespace espalier::cuda
