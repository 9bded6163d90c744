import { nn, prune } from '../../lib/index.js'
import { type NativeArray, native } from '../../lib/native/index.js'
import { python } from '../support/process.js'
import { inProcess, type Match } from '../support/task.js'
import { noise } from '../support/verify.js'

const install = 'apt-get install python3-torch'
const million = 1_000_000

/** Layers of one shape with the weights of an array, one after another. */
function layersOf(weight: Float32Array, count: number, make: () => nn.Linear | nn.Conv2d): nn.Module[] {
  return Array.from({ length: count }, (_, i) => {
    const layer = make()
    const { data } = layer.weight
    data.set(weight.subarray(i * data.length, (i + 1) * data.length))
    return layer
  })
}

/** Prunes layers that are not pruned yet; then the masks come off, the weights as they were. */
function ours(layers: readonly nn.Module[], act: () => void) {
  let masks: NativeArray[] = []
  return inProcess(
    () => {
      act()
      masks = layers.map((layer) => nn.maskOf(layer, 'weight')!.data)
      for (const layer of layers) nn.removeMask(layer, 'weight', { keep: 'latent' })
    },
    () => Float32Array.from(masks.flatMap((mask) => Array.from(mask))),
  )
}

/** Throws unless `falling` units of each stretch of `units` units fell, none of a score above one that stands. */
function verifyLowest(mask: NativeArray, scores: Float64Array, units: number, falling: number): void {
  const width = mask.length / scores.length
  for (let begin = 0; begin < scores.length; begin += units) {
    let [fallen, highest, lowest] = [0, 0, Number.POSITIVE_INFINITY]
    for (let unit = begin; unit < begin + units; unit++) {
      const stands = mask[unit * width]
      for (let i = unit * width; i < (unit + 1) * width; i++) if (mask[i] !== stands) throw new Error(`unit ${unit} is cut`)
      if (stands === 1) lowest = Math.min(lowest, scores[unit])
      else {
        fallen++
        highest = Math.max(highest, scores[unit])
      }
    }
    if (fallen !== falling) throw new Error(`${fallen} of ${units} units fell from unit ${begin} on, expected ${falling}`)
    if (highest > lowest * (1 + 1e-5)) throw new Error(`a unit of ${highest} fell, one of ${lowest} stands`)
  }
}

/** What a user calls: layers in, masked layers out. */
export default function* pruning(): Iterable<Match> {
  const weight = noise(10 * million, 1)
  // Uneven, as weights are: most lie near 0.
  for (let i = 0; i < weight.length; i++) weight[i] *= Math.abs(weight[i])
  const magnitudes = Float64Array.from(weight, Math.abs)

  const linear = layersOf(weight, 10, () => new nn.Linear(1000, 1000, { bias: false }))
  yield {
    case: 'global L1, 80% of 10 M',
    rival: 'torch global_unstructured',
    ours: () =>
      ours(linear, () =>
        prune.globalUnstructured(
          linear.map((layer) => [layer, 'weight']),
          { method: prune.L1Unstructured, amount: 8 * million },
        ),
      ),
    theirs: () =>
      python({
        rival: 'torch global_unstructured',
        source: 'prune/torch_prune.py',
        modules: ['torch'],
        install,
        args: [0, 8 * million, 10, 1000, 1000],
        inputs: { weight },
      }),
    verify: (mask) => verifyLowest(mask, magnitudes, weight.length, 8 * million),
    limit: { read: 4 * weight.length },
  }

  const filters = weight.slice(0, 100 * 64 * 64 * 9)
  const convs = layersOf(filters, 100, () => new nn.Conv2d(64, 64, 3, { bias: false }))
  const norms = Float64Array.from({ length: 6400 }, (_, i) => Math.hypot(...filters.subarray(i * 576, (i + 1) * 576)))
  yield {
    case: 'lnStructured, 100 × 64×64×3×3',
    rival: 'torch ln_structured',
    ours: () =>
      ours(convs, () => {
        for (const layer of convs) prune.lnStructured(layer, 'weight', 32, 2, 0)
      }),
    theirs: () =>
      python({
        rival: 'torch ln_structured',
        source: 'prune/torch_prune.py',
        modules: ['torch'],
        install,
        args: [1, 32, 100, 64, 64, 3, 3],
        inputs: { weight: filters },
      }),
    verify: (mask) => verifyLowest(mask, norms, 64, 32),
    limit: { read: 4 * filters.length },
  }

  const wide = layersOf(weight, 1, () => new nn.Linear(1000, 10_000, { bias: false }))
  const sparsifier = {
    rival: 'torch WeightNormSparsifier',
    theirs: () =>
      python({
        rival: 'torch WeightNormSparsifier',
        source: 'prune/torch_sparsifier.py',
        modules: ['torch'],
        install,
        args: [10_000, 1000],
        inputs: { weight },
      }),
    verify: (mask: NativeArray) => verifyLowest(mask, magnitudes, 4, 2),
    // At 100%: the time of two passes over the weights.
    limit: { read: 2 * 4 * weight.length },
  }
  yield { ...sparsifier, case: '2:4 of 10 M', ours: () => ours(wide, () => new prune.Pruner(wide[0], { structure: prune.nm(2, 4) }).step()) }

  const [mask, falling] = [new Float32Array(weight.length), Int32Array.of(2)]
  yield {
    ...sparsifier,
    case: '2:4 of 10 M, kernel',
    ours: () =>
      inProcess(
        () => native.pruneGroups(weight, null, 1, weight.length / 4, 4, 1, falling, mask),
        () => mask,
      ),
  }
}
