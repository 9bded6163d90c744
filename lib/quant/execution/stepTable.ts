import { EspalierError, ensure } from '../../native/index.js'
import type { Quantisation, Tensor } from '../../tensor/index.js'
import type { IntegerRange } from '../range.js'
import { type Expression, type Operand, probe } from './expression.js'

// Requantisation without floats. The code of the next quantiser is a staircase over the accumulator, and a
// staircase is its edges: the smallest integer at which each next code begins. The edges are found by
// asking the forward pass itself, so that comparing with them gives its codes, bit for bit, wherever
// scales, biases and batch norms have put them.

export interface StepTable {
  /** The smallest code. */
  readonly base: number
  /** Edges a staircase. */
  readonly steps: number
  readonly channels: number
  /** Staircases a channel: one, or one for each value of a second operand, from `rowFrom` on. */
  readonly rows: number
  readonly rowFrom: number
  /** [channels]: 1, or −1 where codes fall as the integer grows; then edges are those of its negative. */
  readonly sign: Int8Array
  /** [channels, rows, steps], whole numbers, ascending; one beyond the operand's range where a code is never reached. */
  readonly edges: Float64Array
}

/** A second operand of more values than this would make the table larger than it is of use. */
const mostRows = 1024

/** Splits the operands of an expression into the one that is searched and the one that is listed. */
export function searchedAndListed({ operands }: Expression): readonly [Operand, Operand | null] {
  const size = ({ range }: Operand): number => range.max - range.min + 1
  const [searched, listed = null, ...more] = [...operands].sort((a, b) => size(b) - size(a))
  ensure(
    more.length === 0 && (listed === null || size(listed) <= mostRows),
    'INVALID_ARGUMENT',
    () => 'two accumulators meet before they are quantised; put a quantiser behind one of them',
  )
  return [searched, listed]
}

/** The code of each element of a value that `quantisation` describes. */
export function codesIn(values: Tensor, { scale }: Quantisation): Float64Array {
  const axis = scale.shape.findIndex((dimension) => dimension !== 1)
  const inner = scale.size === 1 ? 1 : values.shape.slice(axis + 1 + values.rank - scale.rank).reduce((product, dimension) => product * dimension, 1)
  return Float64Array.from({ length: values.size }, (_, i) => Math.round(values.data[i] / scale.data[Math.floor(i / inner) % scale.size]) + 0)
}

/** The staircases by which an expression becomes codes. */
export function stepTable(expression: Expression, quantisation: Quantisation): StepTable {
  const [searched, listed] = searchedAndListed(expression)
  const channels = searched.shape[0]
  const { min: base, max: top } = quantisation
  const steps = top - base
  const listedRange: IntegerRange = listed === null ? { min: 0, max: 0 } : listed.range
  const rows = listedRange.max - listedRange.min + 1

  /** Codes at integers [count, channels] of the operand that is searched. */
  const codesAt = (at: Float64Array, row: number): Float64Array =>
    codesIn(expression.of(expression.operands.map((operand) => probe(operand, operand === searched ? at : at.map(() => listedRange.min + row)))), quantisation)

  const ends = Array.from({ length: rows }, (_, row) =>
    [searched.range.min, searched.range.max].map((end) => codesAt(new Float64Array(channels).fill(end), row)),
  )
  const sign = Int8Array.from({ length: channels }, (_, channel) => (ends.some(([low, high]) => low[channel] > high[channel]) ? -1 : 1))
  if (ends.some(([low, high]) => low.some((code, channel) => (high[channel] - code) * sign[channel] < 0)))
    throw new EspalierError('INTERNAL', 'stepTable: a staircase rises for some values of its second operand and falls for others')

  // The range in the direction in which codes rise.
  const firstOf = (channel: number): number => (sign[channel] > 0 ? searched.range.min : -searched.range.max)
  const lastOf = (channel: number): number => (sign[channel] > 0 ? searched.range.max : -searched.range.min)

  /** Sees that a slack moves no edge: on it the code is reached whatever is taken away, and before it not, whatever is added. */
  function requireClear(found: Float64Array, slack: number): void {
    const [on, before] = [-slack, slack - 1].map((moved) =>
      codesAt(
        found.map((edge, i) => (edge + moved) * sign[i % channels]),
        0,
      ),
    )
    const torn = found.findIndex((edge, i) => {
      const code = base + 1 + Math.floor(i / channels)
      return (edge <= lastOf(i % channels) && on[i] < code) || (edge > firstOf(i % channels) && before[i] >= code)
    })
    ensure(
      torn < 0,
      'INVALID_ARGUMENT',
      () =>
        `integerNetwork: a mean of codes lies on the edge of code ${base + 1 + Math.floor(torn / channels)} where its sum is ${found[torn]}, and floats may round it to either side; with scales that are powers of two they round nothing`,
    )
  }

  const edges = new Float64Array(channels * rows * steps)
  for (let row = 0; row < rows; row++) {
    // All edges of all channels at once, by bisection: `low` and `high` enclose each, the latter past the range.
    const low = Float64Array.from({ length: steps * channels }, (_, i) => firstOf(i % channels))
    const high = Float64Array.from({ length: steps * channels }, (_, i) => lastOf(i % channels) + 1)
    while (low.some((value, i) => value < high[i])) {
      const middle = low.map((value, i) => Math.floor((value + high[i]) / 2))
      // (Those already found ask again where they are, or at the end of the range.)
      const codes = codesAt(
        middle.map((value, i) => Math.min(searched.range.max, Math.max(searched.range.min, value * sign[i % channels]))),
        row,
      )
      for (let i = 0; i < codes.length; i++) {
        if (low[i] >= high[i]) continue
        if (codes[i] >= base + 1 + Math.floor(i / channels)) high[i] = middle[i]
        else low[i] = middle[i] + 1
      }
    }
    for (let step = 0; step < steps; step++)
      for (let channel = 0; channel < channels; channel++) edges[(channel * rows + row) * steps + step] = low[step * channels + channel]
    if (expression.slack) requireClear(low, expression.slack)
  }
  return { base, steps, channels, rows, rowFrom: listedRange.min, sign, edges }
}

/**
 * Codes from integers [n, channels, inner], and from as many of the second operand where the table has rows
 * for it: how many edges of its staircase an integer has reached.
 */
export function stepCodes(
  { base, steps, channels, rows, rowFrom, sign, edges }: StepTable,
  x: Int32Array,
  inner: number,
  second: Int32Array | null,
): Int32Array {
  const codes = new Int32Array(x.length)
  for (let start = 0, channel = 0; start < x.length; start += inner, channel = (channel + 1) % channels)
    for (let i = start; i < start + inner; i++) {
      const value = x[i] * sign[channel]
      const first = (channel * rows + (second === null ? 0 : second[i] - rowFrom)) * steps
      let [low, high] = [0, steps]
      while (low < high) {
        const middle = (low + high) >> 1
        if (edges[first + middle] <= value) low = middle + 1
        else high = middle
      }
      codes[i] = base + low
    }
  return codes
}
