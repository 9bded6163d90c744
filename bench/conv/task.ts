import { type Conv2d, type NativeArray, native } from '../../lib/native/index.js'
import { cxx } from '../support/process.js'
import { inProcess, type Match } from '../support/task.js'
import { noise, verifyClose } from '../support/verify.js'

interface Layer {
  n: number
  input: number
  output: number
  size: number
  kernel: number
  stride?: number
  padding?: number
}

const layers: readonly Layer[] = [
  { n: 32, input: 64, output: 64, size: 32, kernel: 3, padding: 1 },
  // TinyCNN on 8×8 digits.
  { n: 64, input: 1, output: 8, size: 8, kernel: 3 },
  { n: 64, input: 8, output: 16, size: 6, kernel: 3, stride: 2 },
  { n: 64, input: 16, output: 32, size: 2, kernel: 2 },
  // LeNet on 28×28 digits.
  { n: 64, input: 1, output: 6, size: 28, kernel: 5, padding: 2 },
  { n: 64, input: 6, output: 16, size: 14, kernel: 5 },
]
const passes = ['forward', 'data gradient', 'weight gradient'] as const

/** A float32 convolution, N,C,H,W in and out, and its gradients. */
export default function* conv(): Iterable<Match> {
  for (const layer of layers) {
    const { n, input, output, size, kernel, stride = 1, padding = 0 } = layer
    const out = Math.floor((size + 2 * padding - kernel) / stride) + 1
    const geometry: Conv2d = [n, input, size, size, output, out, out, kernel, kernel, stride, stride, padding, padding, 1, 1, 1]
    const x = noise(n * input * size * size, 1)
    const weight = noise(output * input * kernel * kernel, 2)
    const dy = noise(n * output * out * out, 3)
    for (const [which, pass] of passes.entries()) {
      const result = new Float32Array([dy, x, weight][which].length)
      const run = [
        () => native.conv2dForward(x, weight, null, 0, result, ...geometry),
        () => native.conv2dDataGrad(weight, dy, null, result, ...geometry),
        () => native.conv2dWeightGrad(x, dy, result, ...geometry),
      ][which]
      const shape = `${input}x${output}x${size}x${size} n=${n} k=${kernel}${stride > 1 ? ` s=${stride}` : ''}${padding > 0 ? ` p=${padding}` : ''}`
      yield {
        case: `${shape} ${pass}`,
        rival: 'oneDNN direct',
        ours: () => inProcess(run, () => result),
        theirs: () =>
          cxx({
            rival: 'oneDNN',
            source: 'conv/onednn.cc',
            flags: ['-ldnnl'],
            install: 'apt-get install libdnnl-dev',
            args: [which, n, input, size, size, output, out, out, kernel, stride, padding],
            inputs: { x, weight, dy },
          }),
        verify: checker(which, layer, out, { x, weight, dy }, result.length),
        limit: { fma: 2 * dy.length * input * kernel * kernel },
      }
    }
  }
}

/**
 * Compares elements picked from all over the result with their sums in float64. A float32 sum of m
 * terms in any order errs by at most m·2⁻²⁴ times the sum of their sizes.
 */
function checker(which: number, layer: Layer, out: number, { x, weight, dy }: Record<'x' | 'weight' | 'dy', Float32Array>, length: number) {
  const { n, input, output, size, kernel, stride = 1, padding = 0 } = layer
  // The products that one element of the result adds up.
  const termsOf = (index: number): number[] => {
    const terms: number[] = []
    const visit = (b: number, o: number, c: number, p: number, q: number, i: number, j: number) => {
      const row = i * stride + p - padding
      const column = j * stride + q - padding
      if (i < 0 || j < 0 || i >= out || j >= out || row < 0 || column < 0 || row >= size || column >= size) return
      const left = which === 0 ? 0 : dy[((b * output + o) * out + i) * out + j]
      const seen = x[((b * input + c) * size + row) * size + column]
      const by = weight[((o * input + c) * kernel + p) * kernel + q]
      terms.push(which === 0 ? seen * by : which === 1 ? left * by : left * seen)
    }
    const digits = (...bases: number[]): number[] => {
      let rest = index
      return bases
        .map((base) => {
          const digit = rest % base
          rest = (rest - digit) / base
          return digit
        })
        .reverse()
    }
    if (which === 0) {
      const [b, o, i, j] = digits(out, out, output, n)
      for (let c = 0; c < input; c++) for (let p = 0; p < kernel; p++) for (let q = 0; q < kernel; q++) visit(b, o, c, p, q, i, j)
    } else if (which === 1) {
      const [b, c, row, column] = digits(size, size, input, n)
      for (let o = 0; o < output; o++)
        for (let p = 0; p < kernel; p++)
          for (let q = 0; q < kernel; q++) {
            const i = (row + padding - p) / stride
            const j = (column + padding - q) / stride
            if (Number.isInteger(i) && Number.isInteger(j)) visit(b, o, c, p, q, i, j)
          }
    } else {
      const [o, c, p, q] = digits(kernel, kernel, input, output)
      for (let b = 0; b < n; b++) for (let i = 0; i < out; i++) for (let j = 0; j < out; j++) visit(b, o, c, p, q, i, j)
    }
    return terms
  }
  return (result: NativeArray) => {
    if (result.length !== length) throw new Error(`${result.length} values, expected ${length}`)
    const picked = Math.min(length, 300)
    const at = Array.from({ length: picked }, (_, s) => Math.floor((s * length) / picked))
    const terms = at.map(termsOf)
    verifyClose(
      Float64Array.from(at, (i) => result[i]),
      Float64Array.from(terms, (list) => list.reduce((sum, term) => sum + term, 0)),
      (s) => terms[s].length * 2 ** -24 * terms[s].reduce((sum, term) => sum + Math.abs(term), 0),
    )
  }
}
