import { Finish, native } from '../../lib/native/index.js'
import { matmul } from '../../lib/ops/index.js'
import { type Tensor, tensor } from '../../lib/tensor/index.js'
import { cxx } from '../support/process.js'
import { type Contender, inProcess, type Match } from '../support/task.js'
import { noise, productChecker } from '../support/verify.js'
import { onnxruntime } from './onnxruntime.js'

// m×k·k×n: squares, a layer of an MLP on a batch, a large layer.
const cases: readonly (readonly [m: number, k: number, n: number])[] = [
  [256, 256, 256],
  [512, 512, 512],
  [1024, 1024, 1024],
  [64, 784, 1024],
  [512, 4096, 4096],
]

/** A float32 product against programs with the same inputs. */
export default function* gemm(): Iterable<Match> {
  for (const [m, k, n] of cases) {
    const a = noise(m * k, 1)
    const b = noise(k * n, 2)
    const verify = productChecker(a, b, m, k, n)
    const row = { case: `${m}x${k}x${n}`, verify, limit: { fma: 2 * m * n * k } }
    const program = { args: [m, n, k], inputs: { a, b } }
    yield {
      ...row,
      rival: 'oneDNN, weights prepacked',
      ours: () => packed(a, b, m, k, n),
      theirs: () => cxx({ ...program, rival: 'oneDNN', source: 'gemm/onednn.cc', flags: ['-ldnnl'], install: 'apt-get install libdnnl-dev' }),
    }
    yield {
      ...row,
      rival: 'OpenBLAS',
      ours: () => plain(a, b, m, k, n),
      theirs: () => cxx({ ...program, rival: 'OpenBLAS', source: 'gemm/openblas.cc', flags: ['-lopenblas'], install: 'apt-get install libopenblas-dev' }),
    }
    yield { ...row, rival: 'onnxruntime-node', ours: () => fromJavaScript(a, b, m, k, n), theirs: () => onnxruntime(a, b, m, k, n, false) }
    yield { ...row, rival: 'onnxruntime-node, constant weights', ours: () => packed(a, b, m, k, n), theirs: () => onnxruntime(a, b, m, k, n, true) }
  }
}

/** With B packed beforehand. */
function packed(a: Float32Array, b: Float32Array, m: number, k: number, n: number): Contender {
  const weights = new Float32Array(native.gemmPackSize(n, k, 0))
  native.gemmPack(n, k, 0, n, b, weights)
  const c = new Float32Array(m * n)
  return inProcess(
    () => native.gemmPacked(1, a, weights, 0, null, null, Finish.none, c, m, n, k, 0, 0, k, n, n),
    () => c,
  )
}

/** As the kernel is called with two matrices. */
function plain(a: Float32Array, b: Float32Array, m: number, k: number, n: number): Contender {
  const c = new Float32Array(m * n)
  return inProcess(
    () => native.gemm(1, a, b, 0, null, null, Finish.none, c, m, n, k, 0, 0, k, n, n),
    () => c,
  )
}

/** As users call it: tensors in, a fresh tensor out. */
function fromJavaScript(a: Float32Array, b: Float32Array, m: number, k: number, n: number): Contender {
  const left = tensor(a, [m, k])
  const right = tensor(b, [k, n])
  let c: Tensor | undefined
  return inProcess(
    () => {
      c = matmul(left, right)
    },
    () => (c as Tensor).data,
  )
}
