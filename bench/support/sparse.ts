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
