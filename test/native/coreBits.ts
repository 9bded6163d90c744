// Prints a line a product: the bits of its results. ESPALIER_CORE says as which core.
import { createHash } from 'node:crypto'
import { type Conv2d, Finish, native, SparseFormat, SparseKernel, SparseLayout } from '../../lib/native/index.js'

const wave = (length: number, step: number): Float32Array => Float32Array.from({ length }, (_, i) => Math.sin(i * step))

// Densities on either side of every shape of generated code; the last two matrices are more code than caches hold.
const matrices: readonly (readonly [rows: number, columns: number, density: number, samples: number])[] = [
  [29, 40, 0.02, 33],
  [31, 700, 0.05, 16],
  [32, 513, 0.1, 40],
  [61, 64, 0.2, 300],
  [90, 300, 0.3, 17],
  [100, 1100, 0.7, 31],
  [500, 1500, 0.25, 150],
  [400, 600, 0.6, 290],
]

for (const [rows, columns, density, samples] of matrices) {
  const weight = wave(rows * columns, 0.37)
  // Positions by the golden ratio: even, and without a pattern.
  const mask = Uint8Array.from(weight, (_, i) => Number((i * 0.6180339887498949) % 1 < density))
  const tall = Uint8Array.from(weight, (_, i) => mask[(Math.floor(i / columns / 8) * columns + (i % columns)) % mask.length])
  for (const [kind, parameters, of] of [
    [SparseFormat.generated, [], mask],
    [SparseFormat.rows, [], mask],
    [SparseFormat.blocks, [8, 1], tall],
  ] as const) {
    if (kind === SparseFormat.generated && (native.isa() === 'baseline' || process.env.ESPALIER_JIT === '0')) continue
    const number = native.sparseCreate(rows, columns, weight, of, kind, parameters)
    for (const [layout, count] of [
      [SparseLayout.rows, samples],
      [SparseLayout.panels, Math.ceil(samples / 16) * 16],
    ] as const) {
      const y = new Float32Array(rows * count)
      native.spmm(number, 0, count, layout, wave(columns * count, 0.11), wave(rows, 1), Finish.relu, y)
      const name = [kind, rows, columns, density, count, layout].join(' ')
      console.log(name, createHash('sha256').update(y).digest('hex'))
    }
    native.sparseFree(number)
  }
}

// Rows of one line and of two, full and not; many weights a function, and so few that each reads a line of its own.
const convolutions: readonly (readonly [images: number, channels: number, size: number, density: number])[] = [
  [9, 40, 32, 0.03],
  [20, 64, 16, 0.1],
  [3, 64, 27, 0.4],
  [5, 30, 9, 0.2],
  [2, 20, 7, 0.7],
]

for (const [n, channels, size, density] of convolutions) {
  const weight = wave(channels * channels * 9, 0.37)
  const mask = Uint8Array.from(weight, (_, i) => Number((i * 0.6180339887498949) % 1 < density))
  const geometry: Conv2d = [n, channels, size, size, channels, size, size, 3, 3, 1, 1, 1, 1, 1, 1, 1]
  const number = native.sparseConv2dCreate(weight, mask, SparseKernel.automatic, channels, channels, 3, 3, 1)
  const [x, dy] = [wave(n * channels * size * size, 0.11), wave(n * channels * size * size, 0.13)]
  const results = [new Float32Array(x.length), new Float32Array(x.length), new Float32Array(mask.reduce((sum, kept) => sum + kept, 0))]
  native.sparseConv2dForward(number, x, wave(channels, 1), Finish.relu, results[0], ...geometry)
  native.sparseConv2dDataGrad(number, dy, results[1], ...geometry)
  native.sparseConv2dWeightGrad(number, x, dy, results[2], ...geometry)
  for (const [pass, result] of results.entries())
    console.log('convolution', n, channels, size, density, pass, createHash('sha256').update(result).digest('hex'))
  native.sparseConv2dFree(number)
}
