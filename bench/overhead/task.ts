import { Binary, native } from '../../lib/native/index.js'
import { type Tensor, tensor } from '../../lib/tensor/index.js'
import '../../lib/ops/index.js'
import { script } from '../support/process.js'
import { type Contender, inProcess, type Match } from '../support/task.js'
import { noise, verifyClose } from '../support/verify.js'

const size = 16
// One call is far below what a clock tells apart.
const calls = 1000

/** What a call costs beside its arithmetic: a + b of 16 elements, 1000 times a run. The aim is half a microsecond a call. */
export default function* overhead(): Iterable<Match> {
  const a = noise(size, 1)
  const b = noise(size, 2)
  const expected = Float64Array.from(a, (value, i) => value + b[i])
  const verify: Match['verify'] = (output) => verifyClose(output, expected, () => 1e-6)
  const theirs = (): Contender => script({ rival: 'tfjs, cpu', source: 'overhead/tfjs.ts', packages: ['@tensorflow/tfjs'], args: [calls], inputs: { a, b } })
  yield { case: `tensors, ${calls} calls`, rival: 'tfjs, cpu', verify, theirs, ours: () => tensors(a, b) }
  yield { case: `kernel, ${calls} calls`, rival: 'tfjs, cpu', verify, theirs, ours: () => kernel(a, b) }
}

/** The operation as users call it, a fresh result each time. */
function tensors(a: Float32Array, b: Float32Array): Contender {
  const [x, y] = [tensor(a), tensor(b)]
  let sum: Tensor = x
  return inProcess(
    () => {
      for (let i = 0; i < calls; i++) sum = x.add(y)
    },
    () => sum.data,
  )
}

/** The native function alone. */
function kernel(a: Float32Array, b: Float32Array): Contender {
  // A small array of its own would first be moved out of the JavaScript heap.
  const sum = new Float32Array(new ArrayBuffer(4 * size))
  return inProcess(
    () => {
      for (let i = 0; i < calls; i++) native.binaryForward(Binary.add, a, b, sum)
    },
    () => sum,
  )
}
