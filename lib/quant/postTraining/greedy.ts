import { shrinkage } from '../accumulators/l1Projection.js'
import type { IntegerRange } from '../range.js'
import type { Moments } from './moments.js'

// One neuron's codes, chosen weight by weight so that each makes up for what those before it got wrong, and none
// takes more of the accumulator than is left.
//
// GPFQ (Lybrand & Saab 2021, "A greedy algorithm for quantizing neural networks") in terms of products of inputs,
// and AXE's two constraints on it (Colbert et al. 2024, "Accumulator-aware post-training quantization"): weights
// are pulled to 0 by what their tile has too much of, and a code is cut to the room left. The room is exact here:
// what the sum can still rise and fall by, not half of a norm. What is wrong with the inputs is spread over all
// weights from the start instead of being met by each in turn. Afterwards codes are chosen again, singly and in
// pairs: where the room is full, one weight has to give a unit for another to gain it.

/** What a sum may still rise and fall by, in units of the accumulator. */
export interface Room {
  up: number
  down: number
}

/** The room of a register of so many bits, two's complement, that starts at `start`. */
export const roomIn = (bits: number, start = 0): Room => ({ up: 2 ** (bits - 1) - 1 - start, down: 2 ** (bits - 1) + start })

/** The weights a neuron is meant to have, and what follows from them and the moments of its inputs alone. */
export interface Neuron {
  readonly target: Float64Array
  readonly moments: Moments
  /** Σ over rows of each input times the meant sum: [K]. */
  readonly wanted: Float64Array
  /** The same less what the target itself would give on the inputs as they are. */
  readonly missing: Float64Array
  /** Σ over rows of the meant sum, squared. */
  readonly square: number
  /** The inputs that matter most first: by |weight| · ‖input‖. */
  readonly order: readonly number[]
}

export function neuronOf(target: Float64Array, moments: Moments): Neuron {
  const { inputs: k, seen, cross, meant } = moments
  const [wanted, given, own] = [new Float64Array(k), new Float64Array(k), new Float64Array(k)]
  for (let i = 0, at = 0; i < k; i++)
    for (let j = 0; j < k; j++, at++) {
      wanted[j] += target[i] * cross[at]
      given[j] += target[i] * seen[at]
      own[j] += target[i] * meant[at]
    }
  const importance = target.map((weight, i) => Math.abs(weight) * Math.sqrt(Math.max(0, seen[i * k + i])))
  return {
    target,
    moments,
    wanted,
    missing: wanted.map((value, i) => value - given[i]),
    square: own.reduce((sum, value, i) => sum + value * target[i], 0),
    order: Array.from({ length: k }, (_, i) => i).sort((a, b) => importance[b] - importance[a] || a - b),
  }
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
}

export interface NeuronCodes {
  readonly codes: Int32Array
  /** Σ over rows of (meant sum − codes · inputs · scale)². */
  readonly error: number
  /** What is left of each tile's room; empty without. */
  readonly left: readonly Room[]
  /** Chooses each code again, with all others as they are, then units in pairs; false where nothing improved. */
  improve(): boolean
}

/** A neuron's codes under way. */
class Codes implements NeuronCodes {
  readonly codes: Int32Array
  readonly left: Room[]
  /** The inputs' products with what the sum still lacks: [K]. */
  private readonly owed: Float64Array

  constructor(
    private readonly neuron: Neuron,
    private readonly options: NeuronOptions,
  ) {
    const { target, moments, missing, order } = neuron
    const { inputs: k, seen } = moments
    const { room, tile, scale } = options
    this.codes = new Int32Array(k)
    this.left = room === null ? [] : Array.from({ length: Math.ceil(k / tile) }, () => ({ ...room }))
    this.owed = missing.slice()
    const pull = room === null ? null : pulls(target, options)
    for (const i of order) {
      const power = seen[i * k + i]
      const value = (power > 0 ? target[i] + this.owed[i] / power : target[i]) / scale
      const shrunk = pull === null ? value : value > 0 ? Math.max(0, value - pull[i].up) : Math.min(0, value + pull[i].down)
      if (this.open(i)) this.set(i, this.fitting(i, shrunk))
      this.owe(i, target[i] - this.codes[i] * scale)
    }
  }

  get error(): number {
    const { square, wanted } = this.neuron
    return Math.max(
      0,
      this.codes.reduce((error, code, i) => error - this.options.scale * code * (wanted[i] + this.owed[i]), square),
    )
  }

  improve(): boolean {
    const { inputs: k } = this.neuron.moments
    let improved = false
    for (let i = 0; i < k; i++) if (this.chooseAgain(i)) improved = true
    for (let i = 0; i < k; i++) if (this.giveUp(i)) improved = true
    return improved
  }

  private open(i: number): boolean {
    return this.options.open?.(i) ?? true
  }

  private chooseAgain(i: number): boolean {
    const { inputs: k, seen } = this.neuron.moments
    const power = seen[i * k + i]
    if (!(power > 0) || !this.open(i)) return false
    const before = this.codes[i]
    const value = before + this.owed[i] / (power * this.options.scale)
    this.set(i, 0)
    this.set(i, this.fitting(i, value))
    this.owe(i, (before - this.codes[i]) * this.options.scale)
    return this.codes[i] !== before
  }

  /** Takes a unit off a weight in a tile that is full, where another of the tile can do more with the room. */
  private giveUp(i: number): boolean {
    const { inputs: k, seen } = this.neuron.moments
    const { room, tile, scale, codes: range, input } = this.options
    if (room === null || this.codes[i] === 0) return false
    const left = this.left[Math.floor(i / tile)]
    if (Math.min(left.up, left.down) >= Math.max(input.max, -input.min)) return false
    const less = -Math.sign(this.codes[i])
    // In squared distance: what a unit less costs, and what a unit of another then brings.
    const cost = scale * (scale * seen[i * k + i] - 2 * less * this.owed[i])
    this.set(i, this.codes[i] + less)
    let [best, unit, change] = [-1, 0, -1e-9 * this.neuron.square]
    for (let j = i - (i % tile); j < Math.min(k, i - (i % tile) + tile); j++) {
      if (j === i || !this.open(j)) continue
      const more = this.owed[j] - scale * less * seen[i * k + j] > 0 ? 1 : -1
      const code = this.codes[j] + more
      const brings = scale * (scale * (seen[j * k + j] + 2 * less * more * seen[i * k + j]) - 2 * more * this.owed[j])
      if (cost + brings >= change || code > range.max || code < range.min || !fits(left, this.codes[j], code, input)) continue
      ;[best, unit, change] = [j, more, cost + brings]
    }
    if (best < 0) {
      this.set(i, this.codes[i] - less)
      return false
    }
    this.owe(i, -less * scale)
    this.set(best, this.codes[best] + unit)
    this.owe(best, -unit * scale)
    return true
  }

  /** The code nearest to a value that the range of codes and the room allow, from 0 on. */
  private fitting(i: number, value: number): number {
    const { room, tile, codes, input } = this.options
    const nearest = Math.min(codes.max, Math.max(codes.min, Math.round(value)))
    return room === null ? nearest : within(nearest, this.left[Math.floor(i / tile)], input)
  }

  private set(i: number, code: number): void {
    if (this.options.room !== null) take(this.left[Math.floor(i / this.options.tile)], this.codes[i], code, this.options.input)
    this.codes[i] = code
  }

  /** The sum lacks so much of input i more. */
  private owe(i: number, weight: number): void {
    if (weight === 0) return
    const { inputs: k, seen } = this.neuron.moments
    const { owed } = this
    for (let j = 0, at = i * k; j < k; j++, at++) owed[j] += weight * seen[at]
  }
}

/** The codes for a neuron after one pass over its weights. */
export const neuronCodes = (neuron: Neuron, options: NeuronOptions): NeuronCodes => new Codes(neuron, options)

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

/** What a code adds to the highest sum that inputs can reach, and takes off the lowest. */
const rise = (code: number, input: IntegerRange): number => (code > 0 ? input.max : input.min) * code
const fall = (code: number, input: IntegerRange): number => -(code > 0 ? input.min : input.max) * code

/** A code cut to a room. */
function within(code: number, { up, down }: Room, input: IntegerRange): number {
  const unit = Math.sign(code)
  const [higher, lower] = [rise(unit, input), fall(unit, input)]
  const units = Math.min(higher > 0 ? Math.floor(up / higher) : Number.POSITIVE_INFINITY, lower > 0 ? Math.floor(down / lower) : Number.POSITIVE_INFINITY)
  return unit * Math.min(Math.abs(code), Math.max(0, units))
}

const fits = (room: Room, before: number, after: number, input: IntegerRange): boolean =>
  room.up >= rise(after, input) - rise(before, input) && room.down >= fall(after, input) - fall(before, input)

/** Whether a room has place for a unit of weight. */
export const hasPlace = (room: Room, input: IntegerRange): boolean => Math.min(room.up, room.down) >= 0 && [1, -1].some((unit) => fits(room, 0, unit, input))

/** Takes the change from one code to another off a room. */
function take(room: Room, before: number, after: number, input: IntegerRange): void {
  room.up -= rise(after, input) - rise(before, input)
  room.down -= fall(after, input) - fall(before, input)
}
