// Every operation on the device against the CPU, output and gradients, on the calls of its gradient check.
import { type OpSpec, operations } from '../../lib/autograd/index.js'
import { backward, Tensor, tensor } from '../../lib/index.js'
import { randomSource, sampler } from '../support/gradcheck.js'
import { check, close } from './harness.js'

/** Arguments of a call, with every tensor in them as another one. */
function withTensors(value: unknown, change: (tensor: Tensor) => Tensor): unknown {
  if (value instanceof Tensor) return change(value)
  if (Array.isArray(value)) return value.map((item) => withTensors(item, change))
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value
  // Getters stay getters: they make a fresh generator for every call.
  const made = Object.defineProperties({}, Object.getOwnPropertyDescriptors(value)) as Record<string, unknown>
  for (const [name, { value: held }] of Object.entries(Object.getOwnPropertyDescriptors(value)))
    if (held !== undefined) Object.defineProperty(made, name, { value: withTensors(held, change), enumerable: true })
  return made
}

const leavesOf = (args: readonly unknown[]): Tensor[] => args.flat().filter((item): item is Tensor => item instanceof Tensor)

/** The same call with its floats in another dtype, on another device, gradients wanted of the same. */
const converted = (args: readonly unknown[], dtype: 'float32' | 'float64', device: 'cpu' | 'cuda'): unknown[] =>
  withTensors(args, (x) => {
    const there = tensor(x, { device, dtype: x.dtype === 'float64' ? dtype : x.dtype })
    there.requiresGrad = x.requiresGrad
    return there
  }) as unknown[]

// What a sum cancels to is as far off as its terms, so that a gradient near 0 is measured against 1.
const floor = 0.01

function compare(op: (...args: never[]) => Tensor, given: readonly unknown[], tolerance: number, dtype: 'float32' | 'float64'): void {
  const [there, args] = [converted(given, dtype, 'cuda'), converted(given, dtype, 'cpu')]
  const [a, b] = [op(...(there as never[])), op(...(args as never[]))]
  close(a, b, tolerance, 'output', floor)
  if (!b.requiresGrad) return
  const random = randomSource(3)
  const seed = Float64Array.from({ length: b.size }, () => random() * 2 - 1)
  backward(b, tensor(seed, b.shape, { dtype: b.dtype }))
  backward(a, tensor(seed, a.shape, { dtype: a.dtype, device: a.device }))
  const [mine, theirs] = [leavesOf(there), leavesOf(args)]
  for (const [i, leaf] of theirs.entries()) {
    if (leaf.grad === null) continue
    const grad = mine[i].grad
    if (grad === null) throw new Error(`gradient ${i} is missing`)
    close(grad, leaf.grad, tolerance, `gradient ${i}`, floor)
  }
}

for (const [name, op] of operations)
  check(`operation ${name}`, () => {
    const { spec } = op as unknown as { spec: OpSpec<readonly unknown[], unknown> }
    for (const [dtype, tolerance] of [
      ['float64', 1e-9],
      ['float32', 2e-4],
    ] as const)
      for (const [i, args] of spec.cases(sampler(1)).entries()) {
        try {
          compare(op as never, args, tolerance, dtype)
        } catch (error) {
          throw new Error(`${dtype} case ${i}: ${error instanceof Error ? error.message : error}`, { cause: error })
        }
      }
  })
