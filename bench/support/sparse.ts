import { noise } from './verify.js'

/** A matrix of noise with this share of zeros, at places drawn evenly. */
export function pruned(rows: number, columns: number, sparsity: number): Float32Array {
  const weight = noise(rows * columns, 1)
  const lot = noise(rows * columns, 77)
  return weight.map((value, i) => ((lot[i] + 1) / 2 < sparsity ? 0 : value || 0.5))
}

/** columns × rows of a rows × columns matrix. */
export function transposed(of: Float32Array, rows: number, columns: number): Float32Array {
  const made = new Float32Array(of.length)
  for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) made[c * rows + r] = of[r * columns + c]
  return made
}

/** The same where the zeros have the structure of a format: whole blocks, N of each M, as many in each row, whole rows and columns. */
export function structured(format: string, rows: number, columns: number, sparsity: number): Float32Array {
  const weight = noise(rows * columns, 1).map((value) => value || 0.5)
  const lot = noise(rows * columns, 77).map((value) => (value + 1) / 2)
  const [, first, sign, second] = /^(\d+)([:x])(\d+)$/.exec(format) ?? []
  const [height, width] = [Number(first), Number(second)]
  /** Whether so many of the `size` draws from `from` on are below this one. */
  const kept = (i: number, from: number, size: number, keep: number): boolean => {
    let below = 0
    for (let j = from; j < from + size; j++) below += Number(lot[j] < lot[i] || (lot[j] === lot[i] && j < i))
    return below < keep
  }
  return weight.map((value, i) => {
    const [r, c] = [Math.floor(i / columns), i % columns]
    if (sign === ':') return kept(i, i - (c % width), width, height) ? value : 0
    if (sign === 'x') return lot[(r - (r % height)) * columns + c - (c % width)] < sparsity ? 0 : value
    if (format === 'fan-in') return kept(i, r * columns, columns, Math.round((1 - sparsity) * columns)) ? value : 0
    const each = Math.sqrt(1 - sparsity)
    return r < rows * each && c < columns * each ? value : 0
  })
}
