import { TinyCNN } from '../../examples/tinyCnn.js'
import { manualSeed } from '../../lib/tensor/index.js'
import { Network } from '../support/network.js'
import type { Match } from '../support/task.js'

/** One small image through a small network: what a call costs, more than its arithmetic. */
export default function* latency(): Iterable<Match> {
  manualSeed(1)
  const tiny = new Network('TinyCNN B=1', new TinyCNN(), [1, 8, 8], 1)
  yield tiny.match('onnxruntime-node, dense', tiny, () => tiny.onnxruntime())
  yield tiny.match(
    'one run of onnxruntime-node, dense',
    tiny,
    () => tiny.onnxruntime(),
    () => tiny.loading(),
    ' loaded and run once',
  )
}
