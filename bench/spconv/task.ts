import { type Conv2d, Finish, type NativeArray, native, SparseKernel } from '../../lib/native/index.js'
import { cxx } from '../support/process.js'
import { pruned } from '../support/sparse.js'
import { type Contender, inProcess, type Match } from '../support/task.js'
import { noise, verifyClose } from '../support/verify.js'

const layers = [
  { n: 32, channels: 64, size: 32 },
  { n: 32, channels: 128, size: 16 },
]
const sparsities = [0.8, 0.9, 0.95]
const kernel = 3
const padding = 1

/**
 * A 3×3 convolution whose weight is pruned, its zeros anywhere: forward, and forward with both gradients, the weight's
 * where the mask keeps it. Packing the images is in our time; so is, in the cases of a first step, preparing the mask,
 * which a training run does once for each.
 */
export default function* spconv(): Iterable<Match> {
  for (const { n, channels, size } of layers)
    for (const sparsity of sparsities) {
      const layer = new Layer(n, channels, size, sparsity)
      const shape = `${channels}x${channels}x${size}x${size} n=${n} k=${kernel} p=${padding} s=${sparsity.toFixed(2)}`
      const rival = { rival: 'oneDNN', flags: ['-ldnnl'], install: 'apt-get install libdnnl-dev' }
      const { x, weight, dy } = layer
      const sizes = [n, channels, size, size, channels, size, size, kernel]
      const verify = (output: NativeArray) => layer.verify(output)
      const fma = 2 * layer.positions.length * n * size * size
      yield {
        case: `${shape} forward`,
        rival: 'oneDNN direct',
        ours: () => layer.forward(),
        theirs: () => cxx({ ...rival, source: 'conv/onednn.cc', args: [0, ...sizes, 1, padding], inputs: { x, weight, dy } }),
        verify,
        limit: { fma },
      }
      const theirs = () => cxx({ ...rival, source: 'spconv/onednn.cc', args: [...sizes, padding], inputs: { x, weight, dy } })
      yield { case: `${shape} forward+backward`, rival: 'oneDNN direct', ours: () => layer.step(), theirs, verify, limit: { fma: 3 * fma } }
      yield { case: `${shape} first step of a mask`, rival: 'a later step', ours: () => layer.firstStep(), theirs: () => layer.step(), verify }
    }
}

class Layer {
  readonly geometry: Conv2d
  readonly x: Float32Array
  readonly dy: Float32Array
  readonly weight: Float32Array
  readonly positions: readonly number[]

  constructor(
    readonly n: number,
    readonly channels: number,
    readonly size: number,
    sparsity: number,
  ) {
    this.geometry = [n, channels, size, size, channels, size, size, kernel, kernel, 1, 1, padding, padding, 1, 1, 1]
    this.x = noise(n * channels * size * size, 2)
    this.dy = noise(this.x.length, 3)
    this.weight = pruned(channels, channels * kernel * kernel, sparsity)
    this.positions = Array.from(this.weight.keys()).filter((i) => this.weight[i] !== 0)
  }

  private create(): number {
    return native.sparseConv2dCreate(this.weight, null, SparseKernel.automatic, this.channels, this.channels, kernel, kernel, 1)
  }

  private pass(convolution: number, y: Float32Array, dx: Float32Array, dw: Float32Array): void {
    native.sparseConv2dForward(convolution, this.x, null, Finish.none, y, ...this.geometry)
    native.sparseConv2dDataGrad(convolution, this.dy, dx, ...this.geometry)
    native.sparseConv2dWeightGrad(convolution, this.x, this.dy, dw, ...this.geometry)
  }

  forward(): Contender {
    const convolution = this.create()
    const y = new Float32Array(this.dy.length)
    const run = () => native.sparseConv2dForward(convolution, this.x, null, Finish.none, y, ...this.geometry)
    return { ...inProcess(run, () => y), close: () => native.sparseConv2dFree(convolution) }
  }

  /** y, dx and the gradient of the kept weights, one behind the other. */
  step(): Contender {
    const convolution = this.create()
    const results = this.results()
    return {
      ...inProcess(
        () => this.pass(convolution, ...results.parts),
        () => results.all,
      ),
      close: () => native.sparseConv2dFree(convolution),
    }
  }

  firstStep(): Contender {
    const results = this.results()
    return inProcess(
      () => {
        const convolution = this.create()
        this.pass(convolution, ...results.parts)
        native.sparseConv2dFree(convolution)
      },
      () => results.all,
    )
  }

  private results(): { all: Float32Array; parts: [Float32Array, Float32Array, Float32Array] } {
    const length = this.x.length
    const all = new Float32Array(2 * length + this.positions.length)
    return { all, parts: [all.subarray(0, length), all.subarray(length, 2 * length), all.subarray(2 * length)] }
  }

  /**
   * Compares elements from all over y, and where they are there dx and dw (of all weights from the rival, of the kept
   * ones from us), with sums in float64. A float32 sum of m terms in any order errs by at most m·2⁻²⁴ times the sum of
   * their sizes.
   */
  verify(output: NativeArray): void {
    const length = this.x.length
    const whole = [length, 2 * length + this.weight.length, 2 * length + this.positions.length]
    if (!whole.includes(output.length)) throw new Error(`${output.length} values, expected one of ${whole.join(', ')}`)
    const picked = (count: number): number[] => Array.from({ length: 150 }, (_, i) => Math.floor((i * count) / 150))
    const at: number[] = []
    const terms: number[][] = []
    for (const i of picked(length)) {
      at.push(i)
      terms.push(this.termsOfOutput(i))
    }
    if (output.length > length) {
      for (const i of picked(length)) {
        at.push(length + i)
        terms.push(this.termsOfInput(i))
      }
      const kept = output.length === whole[2]
      for (const i of picked(this.positions.length)) {
        at.push(2 * length + (kept ? i : this.positions[i]))
        terms.push(this.termsOfWeight(this.positions[i]))
      }
    }
    verifyClose(
      Float64Array.from(at, (i) => output[i]),
      Float64Array.from(terms, (list) => list.reduce((sum, term) => sum + term, 0)),
      (i) => (terms[i].length + 1) * 2 ** -24 * terms[i].reduce((sum, term) => sum + Math.abs(term), 0),
    )
  }

  private at(values: Float32Array, image: number, channel: number, row: number, column: number): number {
    const inside = row >= 0 && column >= 0 && row < this.size && column < this.size
    return inside ? values[((image * this.channels + channel) * this.size + row) * this.size + column] : 0
  }

  private placeOf(index: number): [image: number, channel: number, row: number, column: number] {
    const { size, channels } = this
    const plane = Math.floor(index / (size * size))
    return [Math.floor(plane / channels), plane % channels, Math.floor(index / size) % size, index % size]
  }

  private *taps(): Iterable<[row: number, column: number]> {
    for (let p = 0; p < kernel; p++) for (let q = 0; q < kernel; q++) yield [p, q]
  }

  private weightAt(output: number, input: number, row: number, column: number): number {
    return this.weight[((output * this.channels + input) * kernel + row) * kernel + column]
  }

  private termsOfOutput(index: number): number[] {
    const [image, channel, i, j] = this.placeOf(index)
    const terms: number[] = []
    for (let c = 0; c < this.channels; c++)
      for (const [p, q] of this.taps()) terms.push(this.weightAt(channel, c, p, q) * this.at(this.x, image, c, i + p - padding, j + q - padding))
    return terms
  }

  private termsOfInput(index: number): number[] {
    const [image, channel, i, j] = this.placeOf(index)
    const terms: number[] = []
    for (let o = 0; o < this.channels; o++)
      for (const [p, q] of this.taps()) terms.push(this.weightAt(o, channel, p, q) * this.at(this.dy, image, o, i + padding - p, j + padding - q))
    return terms
  }

  private termsOfWeight(position: number): number[] {
    const [p, q] = [Math.floor(position / kernel) % kernel, position % kernel]
    const plane = Math.floor(position / (kernel * kernel))
    const [o, c] = [Math.floor(plane / this.channels), plane % this.channels]
    const terms: number[] = []
    for (let image = 0; image < this.n; image++)
      for (let i = 0; i < this.size; i++)
        for (let j = 0; j < this.size; j++) terms.push(this.at(this.dy, image, o, i, j) * this.at(this.x, image, c, i + p - padding, j + q - padding))
    return terms
  }
}
