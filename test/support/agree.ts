import { backward, type Tensor, tensor } from '../../lib/index.js'
import { native } from '../../lib/native/index.js'
import type { Shape } from '../../lib/tensor/index.js'
import { randomSource } from './gradcheck.js'

/** An operation as a function of its float operands. */
export type Run = (...inputs: Tensor[]) => Tensor

interface Results {
  output: Tensor
  gradients: Tensor[]
}

/** Output and gradients for the same reproducible values in [−2, 2], float32 ones, in either dtype. */
export function results(run: Run, shapes: readonly Shape[], dtype: 'float32' | 'float64'): Results {
  const random = randomSource(11)
  const draw = (shape: Shape, requiresGrad: boolean) =>
    tensor(
      Float32Array.from({ length: shape.reduce((size, dimension) => size * dimension, 1) }, () => random() * 4 - 2),
      shape,
      { dtype, requiresGrad },
    )
  const inputs = shapes.map((shape) => draw(shape, true))
  const output = run(...inputs)
  backward(output, draw(output.shape, false))
  return { output, gradients: inputs.map((input) => input.grad as Tensor) }
}

/** The largest deviation of the float32 results from the float64 ones, relative to the largest value of each. */
export function float32Error(run: Run, shapes: readonly Shape[]): number {
  const [single, double] = [results(run, shapes, 'float32'), results(run, shapes, 'float64')]
  let worst = 0
  for (const [a, b] of [[single.output, double.output], ...single.gradients.map((gradient, i) => [gradient, double.gradients[i]])]) {
    let largest = 1e-3
    let deviation = 0
    for (let i = 0; i < b.size; i++) {
      largest = Math.max(largest, Math.abs(b.data[i]))
      deviation = Math.max(deviation, Math.abs(a.data[i] - b.data[i]))
      if (Number.isNaN(a.data[i]) !== Number.isNaN(b.data[i])) return Infinity
    }
    worst = Math.max(worst, deviation / largest)
  }
  return worst
}

/** Whether the float32 results have the same bits on 1, 2, 3 and 8 threads. */
export function sameBitsOnThreads(run: Run, shapes: readonly Shape[]): boolean {
  const before = native.threads()
  const bits = (count: number): string => {
    native.setThreads(count)
    const { output, gradients } = results(run, shapes, 'float32')
    return [output, ...gradients].map(({ data }) => Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64')).join()
  }
  try {
    const single = bits(1)
    return [2, 3, 8].every((count) => bits(count) === single)
  } finally {
    native.setThreads(before)
  }
}
