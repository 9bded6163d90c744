import { npm } from '../support/package.js'
import { type Contender, inProcess } from '../support/task.js'

interface TfTensor {
  dataSync(): Float32Array
  dispose(): void
}
interface Tf {
  tensor1d(values: Float32Array): TfTensor
  add(a: TfTensor, b: TfTensor): TfTensor
}

/** The same sums by TensorFlow.js, each result released at once. */
export function tensorflow(a: Float32Array, b: Float32Array, calls: number): Contender {
  const tf = npm<Tf>('@tensorflow/tfjs')
  const [x, y] = [tf.tensor1d(a), tf.tensor1d(b)]
  return inProcess(
    () => {
      for (let i = 0; i < calls; i++) tf.add(x, y).dispose()
    },
    () => tf.add(x, y).dataSync(),
  )
}
