import { native } from '../../lib/native/index.js'
import { python } from '../support/process.js'
import { inProcess, type Match } from '../support/task.js'
import { noise } from '../support/verify.js'

const size = 10_000_000
const shares = [0.5, 0.9]

/** Magnitude pruning over ten million weights: a mask without the smallest |w|. */
export default function* topk(): Iterable<Match> {
  const weight = noise(size, 1)
  // Uneven, as weights are: most lie near 0.
  for (let i = 0; i < size; i++) weight[i] *= Math.abs(weight[i])
  const ordered = Float32Array.from(weight, Math.abs).sort()
  for (const share of shares) {
    const k = share * size
    const threshold = ordered[k - 1]
    const mask = new Float32Array(size)
    yield {
      case: `${size} ${100 * share}%`,
      rival: 'torch',
      ours: () =>
        inProcess(
          () => native.pruneSmallest([weight], [], 1, k, [mask]),
          () => mask,
        ),
      theirs: () =>
        python({ rival: 'torch', source: 'topk/torch_topk.py', modules: ['torch'], install: 'apt-get install python3-torch', args: [k], inputs: { weight } }),
      // Which of equal weights fall is the rival's own choice.
      verify(output) {
        let fallen = 0
        for (let i = 0; i < size; i++) {
          const magnitude = Math.abs(weight[i])
          if (output[i] === 0) fallen++
          if (output[i] === 0 ? magnitude > threshold : magnitude < threshold)
            throw new Error(`weight ${i}, |w| = ${magnitude}, threshold ${threshold}: mask ${output[i]}`)
        }
        if (fallen !== k) throw new Error(`${fallen} fell, expected ${k}`)
      },
      limit: { read: 4 * size },
    }
  }
}
