import { EspalierError, ensure } from '../../native/index.js'
import { type Module, maskOf } from '../../nn/index.js'
import { hostValues, type Quantisation, type Tensor } from '../../tensor/index.js'
import { accumulatorBound } from '../accumulators/bounds.js'
import { overwrite } from '../accumulators/channels.js'
import type { AccumulatingLayer } from '../integer.js'
import type { IntegerRange } from '../range.js'
import { finite, watching } from './calibration.js'
import { giveCodes } from './givenScales.js'
import { hasPlace, type Neuron, type NeuronCodes, neuronCodes, neuronOf, type Room, roomIn } from './greedy.js'
import type { WeightedLayer } from './modules.js'
import { addMoments, groupsOf, type Moments, momentsOf } from './moments.js'

// A layer's weights as codes whose sums come as near as can be to those that were meant, on some data.

/** A quantised layer with a weight that these methods know. */
export type CodedLayer = WeightedLayer & AccumulatingLayer

export interface ApproximateOptions {
  /** Width of each accumulator; undefined: codes are bounded by their own width alone. */
  accumulatorBits?: number
  /** Inputs summed in an accumulator of that width, the sums of tiles in a wider one. Default: all. */
  tile?: number
  /** Codes a weight may take. */
  codes: IntegerRange
  /** A scale a channel, or one for all. */
  perChannel: boolean
  /** What scales may be: any, powers of two, or 1 alone, where weights are in whole numbers already. */
  scales: 'any' | 'powers of two' | 'one'
  sweeps: number
}

/** A layer's weights as found. */
export interface Approximation {
  readonly codes: Int32Array
  /** A scale a channel. */
  readonly scales: Float64Array
  /** The bias that goes with them; null for a layer without one. */
  readonly bias: Float64Array | null
  /** Squared distance of the sums from those meant, as a share of their own square: 0 is exact. */
  readonly error: number
  /** The widest accumulator of a tile, bits; without tiles that of the whole sum, integer bias included. */
  readonly bits: number
}

/** How layers' inputs go together, one of `layer` in `model` and of `meant` in `reference`, on the same batches. */
export function gatherMoments(
  { model, layer }: { model: Module; layer: WeightedLayer },
  { model: reference, layer: meant }: { model: Module; layer: WeightedLayer },
  batches: readonly Tensor[],
  name: string,
): Moments[] {
  const moments = momentsOf(layer)
  for (const batch of batches) {
    const [seen, wanted]: Tensor[][] = [[], []]
    const noting = (to: Tensor[]) => ({
      onInput(_: Module, x: Tensor): void {
        finite(`${name}: its input`, x)
        to.push(x)
      },
    })
    watching(model, [layer], noting(seen), [batch])
    watching(reference, [meant], noting(wanted), [batch])
    ensure(seen.length === wanted.length && seen.length > 0, 'STATE', () => `${name}: the model does not use it as the one it is to imitate does`)
    for (const [i, x] of seen.entries()) addMoments(moments, layer, x, wanted[i])
  }
  return moments
}

/** Codes and scales for a layer that is meant to have the weights and the bias of `meant`. Nothing is changed. */
export function approximate(layer: CodedLayer, meant: WeightedLayer, moments: readonly Moments[], options: ApproximateOptions): Approximation {
  const problem = problemOf(layer, meant, moments, options)
  const { rows } = problem
  const candidates = scaleFactors(options).map((factor) => {
    const scales = problem.scales.map((scale) => scale * factor)
    return { scales, neurons: Array.from({ length: rows }, (_, row) => solved(problem, row, scales[row])) }
  })
  const errorAt = (candidate: number, row: number): number => candidates[candidate].neurons[row]?.error ?? Number.POSITIVE_INFINITY
  const least = (score: (candidate: number) => number): number => {
    let best = 0
    for (let c = 1; c < candidates.length; c++) if (score(c) < score(best)) best = c
    return best
  }
  const total = (c: number): number => candidates[c].neurons.reduce((sum, _, row) => sum + errorAt(c, row), 0)
  const together = options.perChannel ? 0 : least(total)
  const picked = Array.from({ length: rows }, (_, row) => (options.perChannel ? least((c) => errorAt(c, row)) : together))
  const chosen = picked.map((c, row) => candidates[c].neurons[row] ?? refused(problem, row, Math.max(...candidates.map(({ scales }) => scales[row]))))
  for (const neuron of chosen) for (let sweep = 0; sweep < options.sweeps && neuron.improve(); sweep++);
  const scales = Float64Array.from(picked, (c, row) => candidates[c].scales[row])
  return assembled(problem, chosen, scales)
}

/**
 * What the error of an approximation with a scale a channel would be, judged by some of the neurons after one pass
 * over their weights; infinite where one of them has no room for a weight.
 */
export function approximationError(layer: CodedLayer, meant: WeightedLayer, moments: readonly Moments[], options: ApproximateOptions, neurons: number): number {
  const problem = problemOf(layer, meant, moments, options)
  const step = Math.max(1, Math.floor(problem.rows / neurons))
  let [distance, size] = [0, 0]
  for (let row = 0; row < problem.rows; row += step) {
    const errors = scaleFactors(options).map((factor) => solved(problem, row, problem.scales[row] * factor)?.error ?? Number.POSITIVE_INFINITY)
    distance += Math.min(...errors)
    size += problem.neuron(row).square
  }
  return size > 0 ? distance / size : 0
}

/** Puts an approximation into a layer. */
export function give(layer: CodedLayer, { codes, scales, bias }: Approximation, range: IntegerRange): void {
  giveCodes(layer, codes, scales, range)
  if (bias !== null) overwrite(layer.latentWeight('bias'), bias)
}

/**
 * What scales are tried, times that at which the largest weight has the largest code: finer ones, which clip, and
 * for a narrow accumulator coarser ones, up to a largest code of 1, which make less of a sum.
 */
function scaleFactors({ codes, scales, accumulatorBits }: ApproximateOptions): number[] {
  if (scales === 'one') return [1]
  const perOctave = scales === 'powers of two' ? 1 : 3
  const finest = (codes.max === 1 ? -2 : -1) * perOctave
  const coarsest = accumulatorBits === undefined ? 0 : Math.ceil(Math.log2(codes.max) * perOctave)
  return Array.from({ length: coarsest - finest + 1 }, (_, i) => 2 ** ((coarsest - i) / perOctave))
}

interface Problem {
  readonly options: ApproximateOptions
  readonly layer: CodedLayer
  readonly rows: number
  readonly fanIn: number
  readonly weights: Float64Array
  readonly open: ArrayLike<number> | null
  readonly bias: ArrayLike<number> | null
  /** What the bias may be in the accumulator; null where it is outside, or there is none. */
  readonly biasRange: IntegerRange | null
  readonly input: Quantisation
  readonly inputScale: number
  readonly scales: Float64Array
  readonly neuron: (row: number) => Neuron
  /** The moments of a neuron's inputs as they are: its codes are chosen by those less their means where the bias is a float. */
  readonly moments: (row: number) => Moments
}

function problemOf(layer: CodedLayer, meant: WeightedLayer, moments: readonly Moments[], options: ApproximateOptions): Problem {
  const input = layer.inputQuantisation as Quantisation
  const weight = meant.effective('weight')
  const weights = Float64Array.from(hostValues(weight.storage))
  const rows = weight.shape[0]
  const fanIn = weights.length / (rows || 1)
  const mask = maskOf(layer, 'weight')
  const hasBias = layer.effectiveOrNull('bias') !== null
  const own = meant.effectiveOrNull('bias')
  const biasRange = hasBias ? layer.biasRange : null
  // A float bias takes care of the means.
  const matched = hasBias && biasRange === null ? moments.map((one) => one.centred()) : moments
  const neurons: Neuron[] = []
  const group = (row: number): number => Math.floor(row / (rows / groupsOf(layer)))
  return {
    options,
    layer,
    rows,
    fanIn,
    weights,
    open: mask && hostValues(mask.storage),
    bias: hasBias ? (own === null ? new Float64Array(rows) : hostValues(own.storage)) : null,
    biasRange,
    input,
    inputScale: hostValues(input.scale.storage)[0],
    scales: firstScales(weights, rows, options),
    neuron(row) {
      neurons[row] ??= neuronOf(weights.subarray(row * fanIn, (row + 1) * fanIn), matched[group(row)])
      return neurons[row]
    },
    moments: (row) => moments[group(row)],
  }
}

/** Scales at which the largest weight of a channel, or of all, has the largest code. */
function firstScales(weights: Float64Array, rows: number, { codes, perChannel, scales }: ApproximateOptions): Float64Array {
  if (scales === 'one') return new Float64Array(rows).fill(1)
  const fanIn = weights.length / (rows || 1)
  const largest = Float64Array.from({ length: rows }, (_, row) =>
    weights.subarray(row * fanIn, (row + 1) * fanIn).reduce((most, value) => Math.max(most, Math.abs(value)), 0),
  )
  const overall = Math.max(...largest)
  return largest.map((own) => {
    const scale = (perChannel && own > 0 ? own : overall > 0 ? overall : 1) / codes.max
    return scales === 'powers of two' ? 2 ** Math.ceil(Math.log2(scale)) : scale
  })
}

/** The bias as an integer beside weights of a scale; 0 for one outside the accumulator. */
function biasCode({ biasRange, bias, inputScale }: Problem, row: number, scale: number): number {
  if (biasRange === null || bias === null) return 0
  return Math.min(biasRange.max, Math.max(biasRange.min, Math.round(bias[row] / (inputScale * scale))))
}

/** A neuron at a scale; null where its bias leaves no room for a weight. */
function solved(problem: Problem, row: number, scale: number): NeuronCodes | null {
  const { options, fanIn, input, open } = problem
  const room = roomBeside(problem, biasCode(problem, row, scale))
  if (room !== null && !hasPlace(room, input)) return null
  return neuronCodes(problem.neuron(row), {
    scale,
    codes: options.codes,
    input,
    room,
    tile: options.tile ?? fanIn,
    open: open === null ? undefined : (i) => open[row * fanIn + i] !== 0,
  })
}

/** What is left of each accumulator at the start: a tile's starts at 0, that of the whole sum at the bias. */
const roomBeside = ({ options: { accumulatorBits, tile } }: Problem, bias: number): Room | null =>
  accumulatorBits === undefined ? null : roomIn(accumulatorBits, tile === undefined ? bias : 0)

/** The error for a neuron that no scale leaves room for: it says the width that would do. */
function refused(problem: Problem, row: number, scale: number): never {
  const { input, options } = problem
  const bias = options.tile === undefined ? biasCode(problem, row, scale) : 0
  let enough = options.accumulatorBits as number
  while (!hasPlace(roomIn(enough, bias), input)) enough++
  const beside = bias === 0 ? '' : ` beside a bias of ${bias}`
  throw new EspalierError(
    'INVALID_ARGUMENT',
    `accumulatorBits is ${options.accumulatorBits}: no room for a weight${beside} under inputs of ${input.min}…${input.max}, expected at least ${enough}`,
  )
}

function assembled(problem: Problem, neurons: readonly NeuronCodes[], scales: Float64Array): Approximation {
  const { fanIn, rows, input, options } = problem
  const codes = new Int32Array(rows * fanIn)
  const bias = problem.bias === null ? null : new Float64Array(rows)
  let [distance, size, bits] = [0, 0, 1]
  for (const [row, neuron] of neurons.entries()) {
    codes.set(neuron.codes, row * fanIn)
    distance += neuron.error
    size += problem.neuron(row).square
    const start = bias === null ? 0 : offset(problem, row, neuron, scales[row])
    if (bias !== null) bias[row] = problem.biasRange === null ? start : start * problem.inputScale * scales[row]
    const tile = options.tile ?? fanIn
    for (let from = 0; from < fanIn; from += tile)
      bits = Math.max(
        bits,
        accumulatorBound(neuron.codes.subarray(from, from + tile), input, options.tile === undefined && problem.biasRange !== null ? start : 0).bits,
      )
  }
  return { codes, scales, bias, error: size > 0 ? distance / size : 0, bits }
}

/** A neuron's offset with what its codes get wrong on average: as it is, or as an integer of the accumulator's within what is left there. */
function offset(problem: Problem, row: number, { codes, left }: NeuronCodes, scale: number): number {
  const { weights, fanIn, biasRange, inputScale, options } = problem
  const { rows, meantSums, seenSums } = problem.moments(row)
  let missing = 0
  for (let i = 0; i < fanIn; i++) missing += (weights[row * fanIn + i] * meantSums[i] - codes[i] * scale * seenSums[i]) / rows
  const wanted = (problem.bias as ArrayLike<number>)[row] + missing
  if (biasRange === null) return wanted
  const start = biasCode(problem, row, scale)
  const [low, high] =
    options.accumulatorBits === undefined || options.tile !== undefined ? [biasRange.min, biasRange.max] : [start - left[0].down, start + left[0].up]
  return Math.min(biasRange.max, high, Math.max(biasRange.min, low, Math.round(wanted / (inputScale * scale))))
}
