import { backward, noGrad, type OpSpec, type Sample } from '../../lib/autograd/index.js'
import { Tensor, tensor } from '../../lib/tensor/index.js'

/** A small generator of its own: test values must not depend on the library under test. */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export function sampler(seed: number): Sample {
  const random = randomSource(seed)
  return (shape, { min = -2, max = 2, avoid = [0], distinct = false, integer = false } = {}) => {
    const size = shape.reduce((product, dimension) => product * dimension, 1)
    if (integer)
      return tensor(
        Int32Array.from({ length: size }, () => Math.floor(min + random() * (max - min))),
        shape,
      )
    const values = new Float64Array(size)
    if (distinct) {
      const order = Array.from(values, (_, i) => i).sort(() => random() - 0.5)
      order.forEach((rank, i) => {
        values[i] = min + ((rank + 0.5 + 0.2 * random()) / size) * (max - min)
      })
    } else
      for (let i = 0; i < size; i++)
        do values[i] = min + random() * (max - min)
        while (avoid.some((point) => Math.abs(values[i] - point) < 0.05))
    return tensor(values, shape, { requiresGrad: true })
  }
}

const step = 1e-5

/**
 * The largest relative difference between an operation's gradients and central differences of the
 * same call, over all of its float64 inputs: |analytic − numeric| / max(1, |numeric|, |analytic|).
 */
export function gradientError<A extends readonly unknown[]>(op: (...args: A) => Tensor, args: A, seed = 7): number {
  const random = randomSource(seed)
  const inputs = (args.flat() as unknown[]).filter((item): item is Tensor => item instanceof Tensor && item.requiresGrad)
  const output = op(...args)
  const weights = tensor(
    Float64Array.from({ length: output.size }, () => random() * 2 - 1),
    output.shape,
  )
  if (output.requiresGrad) backward(output, weights)
  const value = (): number =>
    noGrad(() => {
      const { data } = op(...args)
      let total = 0
      for (let i = 0; i < data.length; i++) total += data[i] * weights.data[i]
      return total
    })
  let worst = 0
  for (const input of inputs) {
    if (input.grad && input.grad.shape.join() !== input.shape.join()) return Infinity
    for (let i = 0; i < input.size; i++) {
      const at = input.data[i]
      input.data[i] = at + step
      const above = value()
      input.data[i] = at - step
      const below = value()
      input.data[i] = at
      const numeric = (above - below) / (2 * step)
      const analytic = input.grad ? input.grad.data[i] : 0
      const error = Math.abs(numeric - analytic) / Math.max(1, Math.abs(numeric), Math.abs(analytic))
      worst = Number.isNaN(error) ? Infinity : Math.max(worst, error)
    }
    input.grad = null
  }
  return worst
}

/** Each case of an operation with its gradient error. */
export function* checkGradients<A extends readonly unknown[]>(
  op: ((...args: A) => Tensor) & { spec: OpSpec<A, unknown> },
): Generator<{ index: number; error: number }> {
  for (const [index, args] of op.spec.cases(sampler(1)).entries()) yield { index, error: gradientError(op, args) }
}
