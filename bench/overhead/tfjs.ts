// The same sums by TensorFlow.js, each result released at once. In a process of its own, since it
// replaces the generators of the one it is loaded into.
import { npm } from '../support/package.js'
import { load, rivalArguments, serve } from '../support/rival.js'

interface TfTensor {
  dataSync(): Float32Array
  dispose(): void
}
interface Tf {
  tensor1d(values: Float32Array): TfTensor
  add(a: TfTensor, b: TfTensor): TfTensor
}

// What it has to say at start-up would be taken for answers.
console.warn = () => {}
const say = console.log
console.log = () => {}
const tf = npm<Tf>('@tensorflow/tfjs')
const [x, y] = [tf.tensor1d(load('a')), tf.tensor1d(load('b'))]
const [calls] = rivalArguments
tf.add(x, y).dispose()
console.log = say

await serve(
  () => {
    for (let i = 0; i < calls; i++) tf.add(x, y).dispose()
  },
  () => tf.add(x, y).dataSync(),
)
