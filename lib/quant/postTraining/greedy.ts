import { shrinkage } from '../accumulators/l1Projection.js'
import type { IntegerRange } from '../range.js'
import type { Moments } from './moments.js'

// One neuron's codes, chosen weight by weight so that each makes up for the rounding of those before it, and none
// takes more of the accumulator than is left.
//
// GPFQ (Lybrand & Saab 2021, "A greedy algorithm for quantizing neural networks") in terms of products of inputs,
// and AXE's two constraints on it (Colbert et al. 2024, "Accumulator-aware post-training quantization"): weights
// are pulled to 0 by what their tile has too much of, and a code is cut to the room left. The room is exact here:
// what the sum can still rise and fall by, not half of a norm.

/** What a sum may still rise and fall by, in units of the accumulator. */
export interface Room {
  up: number
  down: number
}

export interface NeuronOptions {
  /** Value of a code of 1. */
  scale: number
  /** Codes a weight may take. */
  codes: IntegerRange
  /** Codes of the inputs. */
  input: IntegerRange
  /** Room of each tile's accumulator at the start; null for an accumulator without end. */
  room: Room | null
  /** Inputs a tile; the last may have fewer. */
  tile: number
  /** Whether an input may have a weight; absent: all may. */
  open?: (input: number) => boolean
  /** Times that each code is chosen again, with all others as they are, after the first pass. */
  sweeps: number
}

export interface NeuronCodes {
  readonly codes: Int32Array
  /** Σ over rows of (meant sum − codes · inputs · scale)². */
  readonly error: number
  /** What is left of each tile's room; empty without. */
  readonly left: readonly Room[]
}

/** The codes for a neuron that is meant to have the weights `target`, under inputs with these moments. */
export function neuronCodes(target: Float64Array, moments: Moments, options: NeuronOptions): NeuronCodes {
  const { scale, codes: range, input, room, tile, open = () => true, sweeps } = options
  const { inputs: k, seen, cross } = moments
  const codes = new Int32Array(k)
  const left = room === null ? [] : Array.from({ length: Math.ceil(k / tile) }, () => ({ ...room }))
  const pull = room === null ? null : pulls(target, options)
  const chosen = (i: number, value: number): number => {
    const nearest = Math.min(range.max, Math.max(range.min, Math.round(value)))
    return room === null ? nearest : within(nearest, left[Math.floor(i / tile)], input)
  }
  // The inputs' products with what is still to be made up for.
  const owed = new Float64Array(k)
  const settle = (i: number, units: number): void => {
    const change = units * scale
    for (let j = 0, at = i * k; j < k; j++, at++) owed[j] -= change * seen[at]
    codes[i] += units
    if (room !== null) take(left[Math.floor(i / tile)], codes[i] - units, codes[i], input)
  }
  for (const i of order(target, moments)) {
    const power = seen[i * k + i]
    const wanted = power > 0 ? (owed[i] + target[i] * cross[i * k + i]) / power : target[i]
    for (let j = 0, at = i * k; j < k; j++, at++) owed[j] += target[i] * cross[at]
    if (!open(i)) continue
    const value = wanted / scale
    const shrunk = pull === null ? value : value > 0 ? Math.max(0, value - pull[i].up) : Math.min(0, value + pull[i].down)
    const code = chosen(i, shrunk)
    if (code !== 0) settle(i, code)
  }
  for (let sweep = 0; sweep < sweeps; sweep++) {
    let changed = false
    for (let i = 0; i < k; i++) {
      const power = seen[i * k + i]
      if (!(power > 0) || !open(i)) continue
      const tileLeft = left[Math.floor(i / tile)]
      if (room !== null) take(tileLeft, codes[i], 0, input)
      const code = chosen(i, codes[i] + owed[i] / (power * scale))
      if (room !== null) take(tileLeft, 0, codes[i], input)
      if (code === codes[i]) continue
      settle(i, code - codes[i])
      changed = true
    }
    if (!changed) break
  }
  return { codes, error: errorOf(target, codes, owed, moments, scale), left }
}

/** The inputs that matter most first: by |weight| · ‖input‖. */
function order(target: Float64Array, { inputs: k, seen }: Moments): number[] {
  const weightOf = (i: number): number => Math.abs(target[i]) * Math.sqrt(Math.max(0, seen[i * k + i]))
  return Array.from({ length: k }, (_, i) => i).sort((a, b) => weightOf(b) - weightOf(a) || a - b)
}

/** How far each weight is drawn to 0, in units of a code, if it is positive and if it is negative: what its tile has too much. */
function pulls(target: Float64Array, { scale, codes, input, room, tile }: NeuronOptions): Room[] {
  const { up, down } = room as Room
  const units = target.map((value) => Math.min(codes.max, Math.max(codes.min, value / scale)))
  return Array.from({ length: Math.ceil(target.length / tile) }, (_, t) => units.subarray(t * tile, (t + 1) * tile)).flatMap((values): Room[] => {
    const side = (sign: number): Float64Array => values.map((value) => Math.max(0, sign * value))
    const both = (): number => shrinkage(values.map(Math.abs), Math.max(0, (up + down) / (input.max - input.min)))
    const pull =
      input.min === 0
        ? { up: shrinkage(side(1), Math.max(0, up / input.max)), down: shrinkage(side(-1), Math.max(0, down / input.max)) }
        : { up: both(), down: both() }
    return Array.from(values, () => pull)
  })
}

/** A code cut to the room that is left. */
function within(code: number, { up, down }: Room, input: IntegerRange): number {
  // What a unit of a positive weight adds to the highest sum, and takes off the lowest; a negative one the reverse.
  const [rise, fall] = code > 0 ? [input.max, -input.min] : [-input.min, input.max]
  const units = Math.min(rise > 0 ? Math.floor(up / rise) : Number.POSITIVE_INFINITY, fall > 0 ? Math.floor(down / fall) : Number.POSITIVE_INFINITY)
  return Math.sign(code) * Math.min(Math.abs(code), Math.max(0, units))
}

/** Takes the change from one code to another off a room. */
function take(room: Room, before: number, after: number, input: IntegerRange): void {
  const rise = (code: number): number => (code > 0 ? input.max : input.min) * code
  const fall = (code: number): number => -(code > 0 ? input.min : input.max) * code
  room.up -= rise(after) - rise(before)
  room.down -= fall(after) - fall(before)
}

/** Σ (meant − got)², from the moments: the squares of both less twice their product. */
function errorOf(target: Float64Array, codes: Int32Array, owed: Float64Array, { inputs: k, cross, meant }: Moments, scale: number): number {
  let error = 0
  for (let i = 0; i < k; i++) {
    let [square, product] = [0, 0]
    for (let j = 0, at = i * k; j < k; j++, at++) {
      square += meant[at] * target[j]
      product += cross[at] * codes[j]
    }
    error += target[i] * (square - scale * product) - scale * codes[i] * owed[i]
  }
  return Math.max(0, error)
}
