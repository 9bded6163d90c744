import { asTensor, defineOp, type Sample } from '../autograd/index.js'
import { Distance, ensure, native, realNumber } from '../native/index.js'
import { empty, formatShape, sameDtype, sameShape, type Tensor } from '../tensor/index.js'
import { elementwiseShapes } from './cases.js'
import { type LossOptions, lossTensor, reductionOf, reductions } from './lossReduction.js'

// Losses of the difference between predictions and targets.

/** Predictions and targets of one shape and dtype, else an error. */
export function samePair(operation: string, x: Tensor, target: Tensor): void {
  sameDtype(operation, asTensor(operation, 'x', x), asTensor(operation, 'target', target))
  ensure(
    sameShape(x.shape, target.shape),
    'SHAPE_MISMATCH',
    () => `${operation}: x has shape ${formatShape(x.shape)}, target ${formatShape(target.shape)}; they must be the same`,
  )
}

/** Every elementwise shape with a reduction (those without elements have no mean), x above or below the target by .1 to 3.5. */
export const pairCases = (sample: Sample): [Tensor, Tensor, LossOptions][] =>
  elementwiseShapes.map((shape, i) => {
    const reduction = shape.includes(0) ? 'none' : reductions[i % reductions.length]
    const high = sample(shape, { min: 0.6, max: 3, avoid: [] })
    const low = sample(shape, { min: -0.5, max: 0.5, avoid: [] })
    return i % 2 ? [high, low, { reduction }] : [low, high, { reduction }]
  })

interface BetaOptions extends LossOptions {
  beta?: number
}

const distanceLoss = (name: string, kindOf: (beta: number) => Distance, cases: (sample: Sample) => [Tensor, Tensor, BetaOptions][]) =>
  defineOp({
    name,
    forward(x: Tensor, target: Tensor, options: BetaOptions = {}) {
      samePair(name, x, target)
      const reduction = reductionOf(name, options)
      const beta = options.beta ?? 1
      const kind = kindOf(beta)
      const output = lossTensor(reduction, x.shape, x)
      native.distanceForward(kind, beta, x.storage, target.storage, reduction, output.storage)
      return { output, saved: { kind, beta, reduction } }
    },
    backward(grad, { args: [x, target], needs, saved: { kind, beta, reduction } }) {
      const [dx, dtarget] = [x, target].map((input, i) => (needs[i] ? empty(input.shape, input.dtype) : null))
      native.distanceBackward(kind, beta, grad.storage, x.storage, target.storage, reduction, dx?.storage ?? null, dtarget?.storage ?? null)
      return [dx, dtarget]
    },
    cases,
  })

/** The squared difference (x − target)²; x and target of one shape. A scalar, or x's shape with `reduction: 'none'`. */
export const mseLoss: (x: Tensor, target: Tensor, options?: LossOptions) => Tensor = distanceLoss('mse_loss', () => Distance.square, pairCases)

/** The distance |x − target|, with gradient 0 where they are equal. Else as `mseLoss`. */
export const l1Loss: (x: Tensor, target: Tensor, options?: LossOptions) => Tensor = distanceLoss('l1_loss', () => Distance.absolute, pairCases)

export interface SmoothL1Options extends LossOptions {
  /** Below this distance the loss is (x − target)² / 2β, above it |x − target| − β/2. At least 0 (plain L1). Default 1. */
  beta?: number
}

/** A parabola near 0 that goes on as |x − target|. Else as `mseLoss`. Girshick 2015. */
export const smoothL1Loss: (x: Tensor, target: Tensor, options?: SmoothL1Options) => Tensor = distanceLoss(
  'smooth_l1_loss',
  (beta) => (realNumber('smooth_l1_loss: beta', beta, 0) === 0 ? Distance.absolute : Distance.smooth),
  (sample) => pairCases(sample).map(([x, target, options], i) => [x, target, { ...options, beta: [0, 0.5, 1, 2][i % 4] }]),
)

export interface HuberOptions extends LossOptions {
  /** Below this distance the loss is (x − target)² / 2, above it δ (|x − target| − δ/2). Above 0. Default 1. */
  delta?: number
}

const huber = distanceLoss(
  'huber_loss',
  (beta) => {
    ensure(realNumber('huber_loss: delta', beta, 0) > 0, 'INVALID_ARGUMENT', () => 'huber_loss: delta is 0, expected a number above 0')
    return Distance.huber
  },
  (sample) => pairCases(sample).map(([x, target, options], i) => [x, target, { ...options, beta: [0.5, 1, 2][i % 3] }]),
)

/** δ times `smoothL1Loss` with β = δ. Huber 1964. */
export const huberLoss = (x: Tensor, target: Tensor, { delta = 1, reduction }: HuberOptions = {}): Tensor => huber(x, target, { reduction, beta: delta })
