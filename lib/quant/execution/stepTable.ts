import { EspalierError, ensure } from '../../native/index.js'
import type { Quantisation, Tensor } from '../../tensor/index.js'
import type { IntegerRange } from '../range.js'
import { channelsOf, type Expression, type Operand, probe } from './expression.js'

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
  const channels = quantisation.scale.size === 1 ? channelsOf(expression) : searched.shape[0]
  const { min: base, max: top } = quantisation
  const steps = top - base
  const { min: rowFrom, max: rowTo } = listed === null ? { min: 0, max: 0 } : listed.range
  const rows = rowTo - rowFrom + 1

  /** Codes at integers [count, channels] of the operand that is searched. */
  const codesAt = (at: Float64Array, row: number): Float64Array => {
    const ofListed = new Float64Array(at.length).fill(rowFrom + row)
    return codesIn(expression.of(expression.operands.map((operand) => probe(operand, channels, operand === searched ? at : ofListed))), quantisation)
  }
  const { min, max } = searched.range
  const [atMin, atMax] = [min, max].map((end) => Array.from({ length: rows }, (_, row) => codesAt(new Float64Array(channels).fill(end), row)))
  const sign = Int8Array.from({ length: channels }, (_, channel) => (atMin.some((codes, row) => codes[channel] > atMax[row][channel]) ? -1 : 1))

  const edges = new Float64Array(channels * rows * steps)
  // A row lies about as far from the one before as that from its own: most of the search is saved.
  let [before, guess]: (Float64Array | null)[] = [null, null]
  for (let row = 0; row < rows; row++) {
    const staircase: Staircase = { base, channels, sign, range: searched.range, codesAt: (at) => codesAt(at, row) }
    const found: Float64Array = edgesOf(staircase, steps, guess)
    if (expression.slack) requireClear(staircase, found, expression.slack)
    for (let i = 0; i < found.length; i++) edges[((i % channels) * rows + row) * steps + Math.floor(i / channels)] = found[i]
    const last: Float64Array = before ?? found
    guess = found.map((edge, i) => 2 * edge - last[i])
    before = found
  }
  return { base, steps, channels, rows, rowFrom, sign, edges }
}

/** Codes over an integer, in each channel rising from `base` with sign · integer. Arrays are [steps, channels]. */
interface Staircase {
  readonly base: number
  readonly channels: number
  readonly sign: Int8Array
  readonly range: IntegerRange
  readonly codesAt: (integers: Float64Array) => Float64Array
}

/** The range of sign · integer in a channel. */
const directed = ({ sign, range: { min, max } }: Staircase, channel: number): IntegerRange => (sign[channel] > 0 ? { min, max } : { min: -max, max: -min })

/**
 * Where each next code begins, past the range where it never does; all edges of all channels at once. From
 * a guess the search goes in growing steps until it has enclosed the edge, then by bisection.
 */
function edgesOf(staircase: Staircase, steps: number, guess: Float64Array | null): Float64Array {
  const { base, channels, sign, codesAt } = staircase
  const length = steps * channels
  const low = Float64Array.from({ length }, (_, i) => directed(staircase, i % channels).min)
  const high = Float64Array.from({ length }, (_, i) => directed(staircase, i % channels).max + 1)
  const at = low.map((first, i) => (guess === null ? Math.floor((first + high[i]) / 2) : Math.max(first, Math.min(guess[i], high[i] - 1))))
  // How far the next step from a guess goes; 0 once the edge is enclosed.
  const stride = new Float64Array(length).fill(guess === null ? 0 : 1)
  const reached = new Int8Array(length).fill(-1)
  for (let open = length; open > 0; ) {
    const codes = codesAt(at.map((integer, i) => integer * sign[i % channels]))
    open = 0
    for (let i = 0; i < length; i++) {
      if (low[i] >= high[i]) continue
      const now = codes[i] >= base + 1 + Math.floor(i / channels) ? 1 : 0
      if (now === 1) high[i] = at[i]
      else low[i] = at[i] + 1
      // (One already found asks again where it was asked last.)
      if (low[i] >= high[i]) continue
      open++
      if (reached[i] === 1 - now) stride[i] = 0
      reached[i] = now
      at[i] = stride[i] === 0 ? Math.floor((low[i] + high[i]) / 2) : now === 1 ? Math.max(low[i], at[i] - stride[i]) : Math.min(high[i] - 1, at[i] + stride[i])
      stride[i] *= 2
    }
  }
  return low
}

/** Sees that a slack moves no edge: on it the code is reached whatever is taken away, and before it not, whatever is added. */
function requireClear(staircase: Staircase, edges: Float64Array, slack: number): void {
  const { base, channels, sign, codesAt } = staircase
  const [on, before] = [-slack, slack - 1].map((moved) => codesAt(edges.map((edge, i) => (edge + moved) * sign[i % channels])))
  for (const [i, edge] of edges.entries()) {
    const code = base + 1 + Math.floor(i / channels)
    const { min, max } = directed(staircase, i % channels)
    if ((edge <= max && on[i] < code) || (edge > min && before[i] >= code))
      throw new EspalierError(
        'INVALID_ARGUMENT',
        `integerNetwork: a sum or mean of codes lies on the edge of code ${code} where its integer is ${edge}, and floats may round it to either side; with scales that are powers of two they round nothing`,
      )
  }
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
